"""``xr.open_dataset("x.romae")`` without being asked: the engine ``romae`` of xarray.

xarray loads this module with every other engine when it opens its first file, so it imports
neither torch nor zarr: what decodes is imported when an archive is opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from xarray.backends import BackendEntrypoint

from romae.files import is_archive

if TYPE_CHECKING:
    import xarray as xr


class RomaeBackendEntrypoint(BackendEntrypoint):
    """Opens archives lazily; ``chunks={}`` gives dask chunks of one archive chunk each."""

    description = "Open archives of romae (.romae) in xarray"
    url: ClassVar[str] = ""
    supports_groups = True
    open_dataset_parameters = (
        "filename_or_obj",
        "mask_and_scale",
        "decode_times",
        "concat_characters",
        "decode_coords",
        "drop_variables",
        "use_cftime",
        "decode_timedelta",
        "case",
        "cache_bytes",
        "model",
    )

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether there is an archive."""
        return is_archive(filename_or_obj)

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        case: int | None = None,
        cache_bytes: int | None = None,
        model: Any = None,
    ) -> xr.Dataset:
        """The archive as a Dataset.

        ``case``: only this case; needed where the cases have times of their own.
        ``cache_bytes``: of decoded chunks to keep for this Dataset; all archives of a process share
        256 MiB otherwise. ``model``: where the model lies that the archive refers to. The other
        arguments are those of ``xr.open_dataset``; fields are decoded numbers, so masking and
        scaling concerns the other variables only.
        """
        from romae.archive.dataset import open_fields
        from romae.archive.reading import Archive

        archive = Archive(filename_or_obj, cache_bytes=cache_bytes, model=model)
        drop = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        options = {
            "mask_and_scale": mask_and_scale,
            "decode_times": decode_times,
            "concat_characters": concat_characters,
            "decode_coords": decode_coords,
            "use_cftime": use_cftime,
            "decode_timedelta": decode_timedelta,
        }
        options = {k: v for k, v in options.items() if v is not None}
        return open_fields(archive, case=case, drop=drop, options=options)

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """The archive as a tree: cases that have times of their own are its children."""
        import xarray as xr

        return xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **options))

    def open_groups_as_dict(self, filename_or_obj: Any, **options: Any) -> dict[str, xr.Dataset]:
        """{"/": all of it}, or {"/0": case 0, "/1": case 1, ...}; ``options`` of open_dataset."""
        from romae.archive.reading import Archive

        groups = Archive(filename_or_obj, model=options.get("model")).facts["groups"]
        if len(groups) == 1:
            return {"/": self.open_dataset(filename_or_obj, **options)}
        return {
            f"/{i}": self.open_dataset(filename_or_obj, case=i, **options)
            for i in range(len(groups))
        }
