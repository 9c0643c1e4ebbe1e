"""What `import romae` costs, what it offers, and which floor imports which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import romae

HEAVY = ["torch", "xarray", "numpy", "pandas", "netCDF4", "zarr", "dask", "h5py", "scipy"]
HEAVY += ["matplotlib", "rich", "jinja2", "click", "cf_xarray"]


def modules_after(code: str) -> set[str]:
    """Names of the modules loaded in a fresh process that ran ``code``."""
    probe = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_import_romae_loads_nothing_heavy():
    assert modules_after("import romae").isdisjoint(HEAVY)


def test_fields_and_cases_load_no_torch():
    loaded = modules_after("import romae.fields, romae.cases")
    assert "xarray" in loaded
    assert "torch" not in loaded


def test_public_face_is_listed_once():
    """The names for type checkers, in __all__ and in the table of places are the same."""
    tree = ast.parse(Path(romae.__file__).read_text())
    (block,) = (n for n in tree.body if isinstance(n, ast.If))
    typed = {a.name: n.module for n in block.body for a in n.names}
    assert typed == romae._WHERE
    assert set(romae.__all__) == {*typed, "__version__"}
    assert dir(romae) == sorted(romae.__all__)


@pytest.mark.parametrize("name", sorted(romae._WHERE))
def test_public_names_exist_and_have_a_docstring(name):
    assert getattr(romae, name).__doc__


def test_importing_the_package_does_not_hide_the_function():
    code = "import romae.compare.tables, romae; assert callable(romae.compare)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(AttributeError, match="ConvAutoencoder"):
        romae.ConvAutoEncoder  # noqa: B018


def test_a_module_that_is_not_imported_is_named_as_one():
    code = "import romae\ntry: romae.nets\nexcept AttributeError as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "import romae.nets" in done.stdout
