"""The figures' data against published and reference values, and their bytes against themselves."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from figures import SCRIPTS

pytest.importorskip("matplotlib")

FOLDER = Path(__file__).resolve().parents[1] / "paper_figs"


@pytest.fixture
def figure(monkeypatch):
    """Import a figure script by name, as if it were run in its folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module


def at(grid, value):
    """Index of `value` in a grid."""
    index = int(np.abs(grid - value).argmin())
    assert grid[index] == pytest.approx(value, abs=1e-12)
    return index


@pytest.mark.parametrize(
    ("kind", "alpha_d2", "bounds"),
    [  # at alpha_d1 = .2, .5, .7, .9, .99; 0: no positive cost pays
        ("vertical", 0.1, [0.095, 0.390, 0.596, 0.809, 0.952]),
        ("vertical", 0.2, [0.001, 0.265, 0.470, 0.734, 0.927]),
        ("vertical", 0.3, [0.0, 0.151, 0.362, 0.664, 0.905]),
        ("vertical", 0.5, [0.0, 0.004, 0.175, 0.517, 0.855]),
        ("vertical", 0.8, [0.0, 0.0, 0.0, 0.173, 0.708]),
        ("horizontal", 0.1, [0.110, 0.413, 0.615, 0.817, 0.908]),
        ("horizontal", 0.2, [0.010, 0.313, 0.517, 0.721, 0.812]),
        ("horizontal", 0.3, [0.0, 0.212, 0.418, 0.624, 0.717]),
        ("horizontal", 0.5, [0.0, 0.010, 0.218, 0.428, 0.523]),
        ("horizontal", 0.8, [0.0, 0.0, 0.0, 0.123, 0.225]),
    ],
)
def test_the_five_curves_of_each_bound_pass_through_the_reference_values(
    figure, kind, alpha_d2, bounds
):
    shown = figure("fig_effective_bounds").data()
    curve = shown[kind][at(shown["alpha_d2"], alpha_d2)]
    found = [curve[at(shown["alpha_d1"], alpha)] for alpha in (0.2, 0.5, 0.7, 0.9, 0.99)]
    np.testing.assert_allclose(found, bounds, atol=6e-4)


def test_the_measured_point_is_that_of_the_record(figure):
    module = figure("fig_effective_bounds")
    shown = module.data()
    record = json.loads(module.RECORD.read_text(encoding="utf-8"))
    alpha, cost = shown["point"]
    # the record's EWIF of mid alone, one token: (1 + alpha) / (V(2) + c), V(2) >= 1 near 1
    verify = (1 + alpha) / record["curves"]["single"]["mid"][0] - cost
    assert 1.0 <= verify < 1.1
    drafts = record["cascade"]["drafts"]  # each is called once in a cycle, so its time is its cost
    assert [draft["length"] for draft in drafts] == [1, 4]
    a, b = shown["point"][0], shown["own_d2"][0]
    tokens = 1 + a * (1 + sum(b**i for i in range(1, 5)))
    assert tokens == pytest.approx(record["tasks"][0]["pooled_tokens_per_cycle"], rel=0.01)


def test_the_horizontal_bound_over_our_max_gram_is_that_of_one_pass_a_call(figure):
    module = figure("fig_effective_bounds")
    shown = module.data()
    rate, cost = shown["own_d2"]
    tail = (rate ** np.arange(module.MAX_GRAM_LENGTH + 1)).sum()
    alone = tail / (1 + cost)  # EWIF of Max-Gram alone: all its tokens in one pass
    want = (1 + shown["alpha_d1"] * tail) / alone - 1 - cost  # d1 drafts one token before it
    above = shown["alpha_d1"] > 0.45
    np.testing.assert_allclose(shown["own_horizontal"][above], want[above], atol=1e-9)


def test_our_draft_lies_below_the_horizontal_bound_and_above_the_vertical_one(figure):
    shown = figure("fig_effective_bounds").data()
    alpha, cost = shown["point"]
    assert cost < np.interp(alpha, shown["alpha_d1"], shown["own_horizontal"])
    assert cost > np.interp(alpha, shown["alpha_d1"], shown["own_vertical"])


@pytest.mark.parametrize(
    ("cost", "lengths", "speedups"),
    [  # at alpha = .1, .3, .5, .7, .8, .9, .95; the shorter length on an exact tie
        (0.01, [1, 3, 5, 9, 14, 24, 40], [1.089, 1.376, 1.875, 2.972, 4.232, 7.486, 12.542]),
        (0.02, [1, 3, 4, 8, 11, 19, 31], [1.078, 1.337, 1.794, 2.758, 3.817, 6.365, 9.954]),
        (0.05, [1, 2, 3, 6, 8, 13, 21], [1.048, 1.264, 1.630, 2.353, 3.092, 4.674, 6.600]),
        (0.1, [0, 1, 2, 4, 6, 10, 15], [1, 1.182, 1.458, 1.981, 2.470, 3.431, 4.479]),
        (0.2, [0, 1, 1, 3, 4, 7, 10], [1, 1.083, 1.250, 1.583, 1.868, 2.373, 2.875]),
        (0.5, [0, 0, 0, 1, 2, 3, 5], [1, 1, 1, 1.133, 1.220, 1.376, 1.514]),
    ],
)
def test_the_best_draft_lengths_are_the_reference_values(figure, cost, lengths, speedups):
    shown = figure("fig_optimal_length").data()
    row = at(shown["cost"], cost)
    columns = [at(shown["alpha"], alpha) for alpha in (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)]
    np.testing.assert_array_equal(shown["length"][row, columns], lengths)
    np.testing.assert_allclose(shown["ewif"][row, columns], speedups, atol=5e-4)


def test_the_colours_of_the_map_cover_every_length(figure):
    module = figure("fig_optimal_length")
    lengths = module.data()["length"]
    assert module.LENGTH_STEPS[0] == lengths.min()
    assert lengths.max() == module.LENGTH_STEPS[-1] - 1


def test_cs_drafting_table_1_is_met(figure):
    shown = figure("fig_cs_drafting_table1").data()
    np.testing.assert_array_equal(shown["published"], [2.65, 2.96, 3.03, 3.61, 3.75, 3.93])
    np.testing.assert_allclose(shown["computed"], shown["published"], atol=6e-3)
    calc = [2.6558, 2.9615, 3.0259, 3.6098, 3.7450, 3.9257]
    np.testing.assert_allclose(shown["computed"], calc, atol=5e-5)


def test_predicted_and_measured_are_those_of_the_record(figure):
    module = figure("fig_predicted_measured")
    shown = module.data()
    record = json.loads(module.RECORD.read_text(encoding="utf-8"))
    for row, task in enumerate(record["tasks"]):
        assert shown["one_rate"][row] == task["pooled_tokens_per_cycle"]
        assert shown["own_rates"][row] == task["own_tokens_per_cycle"]
        assert shown["measured"][row] == task["same_tokens_per_cycle"]
        assert shown["measured_all"][row] == task["tokens_per_cycle"]
    assert [group["name"] for group in record["groups"]] == list(module.GROUPS)
    for key in ("group_own_rates", "group_measured"):
        value, low, high = shown[key].T
        assert (low <= value).all()
        assert (value <= high).all()


def test_own_rates_predict_the_prompts_they_were_measured_on_within_three_per_cent(figure):
    shown = figure("fig_predicted_measured").data()
    np.testing.assert_allclose(shown["measured"], shown["own_rates"], rtol=0.03)


CHEAP = ("fig_cas_spec_figure1a",)  # drawn twice always; all figures in `make slow`


@pytest.mark.parametrize(
    "name",
    [name if name in CHEAP else pytest.param(name, marks=pytest.mark.slow) for name in SCRIPTS],
)
def test_drawn_twice_a_figure_has_the_same_bytes_whatever_the_settings(
    figure, name, tmp_path, monkeypatch
):
    import matplotlib

    draw = figure(name).main
    draw(tmp_path / "once")
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 30.0)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")  # would be the date in a PDF that has one
    draw(tmp_path / "twice")
    files = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert files == [f"{name}.pdf", f"{name}.png"]
    for file in files:
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "twice" / file).read_bytes()


def test_every_picture_in_the_repository_belongs_to_a_script():
    assert sorted(path.stem for path in (FOLDER / "out").glob("*.png")) == SCRIPTS
