"""A reducer that is told the parameters of the case: uses them, carries them, asks for them."""

import numpy as np
import pytest
import torch
import xarray as xr

import romae
from romae.errors import DataError, OptionError
from romae.reducers import ConditionalAutoencoder, TrainConfig

SHORT = TrainConfig(steps=300, lr=3e-3)


@pytest.fixture(scope="module")
def fitted(flow_makers):
    return ConditionalAutoencoder(1, hidden=(16,), train=SHORT).fit(
        flow_makers["family"](), flow_makers["family"](), device="cpu"
    )


def test_latents_carry_the_parameters_there_and_back(fitted, flows):
    flow = flows["family"]()
    z = fitted.encode(flow)
    assert z.Re.values.tolist() == flow.Re.values.tolist()
    whole = fitted.decode(z).u
    one = fitted.decode(z.isel(case=1)).u  # a scalar coordinate
    assert np.allclose(one, whole.isel(case=1), atol=1e-5)


def test_the_parameter_makes_a_difference_and_a_batch_of_another_case_none(fitted, flows):
    z = fitted.encode(flows["family"]())
    moved = fitted.decode(z.assign_coords(Re=("case", [100.0, 90, 80])))
    assert float(abs(moved.u - fitted.decode(z).u).max()) > 1e-3
    alone = fitted.encode(flows["family"]().isel(case=[2]))
    assert np.allclose(alone.values, z.values[2:], atol=1e-5)


def test_what_the_parameter_says_need_not_be_in_the_latents(flows):
    # A standing wave on a steady pattern that the parameter sets: two numbers, one of them known.
    flow = flows["family"]()
    wave = np.sin(flow.time) * np.cos(2 * np.pi * flow.x)
    steady = (flow.Re - 90) / 10 * np.cos(4 * np.pi * flow.x)
    flow["u"] = (wave + steady).transpose("case", "time", "x").astype("f4")
    told = ConditionalAutoencoder(1, hidden=(16,), train=SHORT).fit(flow, flow, device="cpu")
    blind = romae.PODAutoencoder(1, hidden=(16,), train=SHORT).fit(flow, flow, device="cpu")
    errors = romae.compare([told, blind], flow, rates="skip", on_leak="flag").error
    errors = errors.sel(field="all").values
    assert errors[0] < 0.3 * errors[1]


def test_comparing_and_forecasting_know_the_case(fitted, flows):
    flow = flows["family"]()
    result = romae.compare(fitted, flow, on_leak="flag")
    lost = fitted.reconstruct(flow).u - flow.u
    mean = fitted.scaling.mean[0]
    share = np.sqrt(float((lost**2).sum()) / float(((flow.u - mean) ** 2).sum()))
    assert float(result.error.sel(field="all")[0]) == pytest.approx(share, rel=0.05)  # W is not 1
    rom = romae.ReducedModel(fitted, romae.DMD()).fit(flow)
    assert rom.forecast(flow, 3).u.shape == (3, 3, 12)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: f.drop_vars("Re"), r"the parameter 'Re'.*assign_coords\(Re="),
        (lambda f: f.assign_coords(Re=("case", [1.0, np.nan, 2])), "'Re' of .* is .*nan"),
    ],
)
def test_a_missing_parameter_says_what_to_type(fitted, flows, spoil, says):
    with pytest.raises(DataError, match=says):
        fitted.encode(spoil(flows["family"]()))
    with pytest.raises(DataError, match=says):
        fitted.decode(spoil(fitted.encode(flows["family"]())))


def test_a_parameter_missing_in_one_of_several_files_names_the_file(fitted, flows, tmp_path):
    paths = []
    for i, Re in enumerate((80, 90, 100)):
        one = flows["family"]().isel(case=i, drop=True).assign_coords(Re=float(Re), forcing=1.0)
        one = one.drop_vars("Re" if i == 1 else ())
        paths.append(tmp_path / f"run_{i}.nc")
        one.to_netcdf(paths[-1])
    data = romae.open_snapshots(paths, cases="file")
    missing = r"'Re' is in 2 of 3 files and missing in \S*run_1.nc: .*assign_coords\(Re="
    with pytest.raises(OptionError, match=r"no parameter 'Re'\. " + missing):
        ConditionalAutoencoder(1, condition=["Re"]).fit(data, device="cpu")
    with pytest.raises(DataError, match=r"have none of that name in every case\. " + missing):
        fitted.encode(data)
    alone = romae.open_snapshots(
        [xr.open_dataset(p).drop_vars("forcing") for p in paths], cases="file"
    )
    with pytest.raises(DataError, match=r"have none in common\. 'Re' is in 2 of 3"):
        ConditionalAutoencoder(1).fit(alone, device="cpu")
    alone = romae.open_snapshots([paths[0], paths[2]], cases="file")
    assert list(alone.params["Re"]) == [80, 100]


def test_wrong_use(fitted, flows):
    with pytest.raises(DataError, match=r"have none.*PODAutoencoder"):
        ConditionalAutoencoder(1).fit(flows["line"](), device="cpu")
    with pytest.raises(OptionError, match=r"no parameter 'R'.*Re"):
        ConditionalAutoencoder(1, condition=["R"]).fit(flows["family"](), device="cpu")
    with pytest.raises(OptionError, match="condition is 'Re'"):
        ConditionalAutoencoder(1, condition="Re")
    with pytest.raises(DataError, match=r"along\(source, case\)"):
        fitted.encode_tensor(torch.zeros(2, 1, 12))
