"""Tallies: they add if and only if they should, survive files, and know their precision."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.acceptance import ByPosition
from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.simulate import Stream, Tally, simulate
from tests.strategies import cases, seeds

SPEC = Cascade((Draft(1, 5),))
NEST = Cascade((Review(1, (Draft(2, 4),), until=6),))
V = 1.0 + 0.02 * np.arange(20)
PROFILE = Profile([0.8, 0.5], [0.1, 0.01], verify=V)
rng = np.random.default_rng


def tally(cascade=SPEC, profile=PROFILE, n_cycles=100, seed=1):
    return simulate(cascade, profile, n_cycles, rng=rng(seed))


@given(cases(), seeds)
@settings(max_examples=40, deadline=None)
def test_json_gives_the_tally_back(case, seed):
    made = simulate(*case, 10, rng=rng(seed))
    back = Tally.from_dict(json.loads(json.dumps(made.to_dict(), allow_nan=False)))
    assert back == made
    assert back.run_id == made.run_id


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_tallies_add_in_any_order(sizes):
    parts = [
        simulate(NEST, PROFILE, n, rng=stream)
        for n, stream in zip(sizes, rng(3).spawn(len(sizes)), strict=True)
    ]
    whole, reverse = sum(parts), sum(parts[::-1])
    assert whole.counts == reverse.counts
    assert whole.cycles == sum(sizes)
    assert whole.passes == tuple(map(sum, zip(*(p.passes for p in parts), strict=True)))
    for name in ("cost", "cost_squared", "cost_tokens"):
        expected = sum(getattr(part, name) for part in parts)
        assert getattr(whole, name) == pytest.approx(expected, rel=1e-14)
    assert {s.place for s in whole.streams} == {s.place for s in reverse.streams}


@pytest.mark.parametrize(
    "other",
    [
        {"cascade": Cascade((Draft(1, 4),))},
        {"profile": Profile([0.8, 0.5], [0.1, 0.02], verify=V)},
        {"profile": Profile([0.8, 0.6], [0.1, 0.01], verify=V)},
        {"profile": Profile([0.8, 0.5], [0.1, 0.01])},
        {"profile": Profile([0.8, 0.5], [0.1, 0.01], verify=V, acceptance=ByPosition({}))},
        {
            "profile": Profile(
                [0.8, 0.5], [0.1, 0.01], one_shot=[1], verify=1 + 0.02 * np.arange(9)
            )
        },
    ],
)
def test_unlike_runs_do_not_add(other):
    with pytest.raises(ValueError, match="different experiments"):
        tally() + tally(**other, seed=2)


def test_rates_are_part_of_the_experiment():
    rates = np.full((4, 3, 3, 1), 0.5)
    other = simulate(SPEC, PROFILE, 10, rng=rng(2), rates=rates)
    with pytest.raises(ValueError, match="acceptance is"):
        tally() + other


def test_what_is_not_read_does_not_matter():
    longer = 1.0 + 0.02 * np.arange(30)
    longer = Profile([0.8, 0.5], [0.1, 0.01], verify=longer, names=["a", "b", "c"])
    assert (tally() + tally(profile=longer, seed=2)).cycles == 200


@pytest.mark.parametrize("n_cycles", [100, 50])
def test_the_same_stream_is_not_counted_twice(n_cycles):
    with pytest.raises(ValueError, match="counted twice"):
        tally() + tally(n_cycles=n_cycles)
    with pytest.raises(ValueError, match="counted twice"):
        (tally() + tally(seed=2)) + (tally(seed=3) + tally(n_cycles=n_cycles, seed=2))


def test_streams_record_how_to_repeat_the_run():
    made = simulate(SPEC, PROFILE, 10, rng=rng([4, 2]).spawn(3)[1])
    (stream,) = made.streams
    assert (stream.generator, stream.entropy, stream.spawn_key) == ("PCG64", [4, 2], (1,))
    again = np.random.default_rng(
        np.random.SeedSequence(stream.entropy, spawn_key=stream.spawn_key)
    )
    assert Stream.of(again, 10) == stream
    assert simulate(SPEC, PROFILE, stream.cycles, rng=again) == made


def test_a_tally_adds_to_tallies_only():
    with pytest.raises(TypeError):
        tally() + 1
    with pytest.raises(TypeError):
        1 + tally()


def test_files(tmp_path):
    path = tmp_path / "tally.json"
    made = tally()
    made.save(path)
    assert Tally.load(path) == made
    data = json.loads(path.read_text())
    assert data["schema"] == "cscalc/tally"
    assert {"cscalc", "numpy", "python", "machine"} <= set(data["made_with"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "cscalc/plan"}, "not a tally"),
        ({"version": 2}, "version 2"),
        ({"counts": [0, -1]}, "counts must be >= 0"),
        ({"counts": [1, 5]}, "at least 1 token"),
        ({"counts": [0, 0]}, "at least 1 token"),
        ({"counts": [0, 1.5]}, "counts must be an int"),
        ({"cost": float("nan")}, "cost"),
        ({"streams": [{}]}, "a stream needs"),
        ({"streams": 3}, "tally"),
        ({"experiment": {"process": 1}}, "edited"),
        ({"experiment": 3}, "tally"),
        ({"passes": None}, "tally"),
    ],
)
def test_a_broken_tally_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Tally.from_dict({**tally().to_dict(), **change})


@pytest.mark.parametrize("name", ["counts", "streams", "cost_tokens"])
def test_a_missing_field_is_named(name):
    data = tally().to_dict()
    del data[name]
    with pytest.raises(ValueError, match=f"here.json: {name} missing"):
        Tally.from_dict(data, source="here.json")


def test_moments_are_those_of_the_cycles():
    # cycles one by one from one generator: every sum can be taken in the open
    generator = rng(8)
    ones = [simulate(NEST, PROFILE, 1, rng=generator) for _ in range(400)]
    tokens, costs = np.array([one.tokens for one in ones]), np.array([one.cost for one in ones])
    whole = simulate(NEST, PROFILE, 400, rng=rng(8))
    assert whole.tokens == tokens.sum()
    assert whole.cost == pytest.approx(costs.sum(), rel=1e-13)
    assert whole.cost_squared == pytest.approx(costs @ costs, rel=1e-13)
    assert whole.cost_tokens == pytest.approx(costs @ tokens, rel=1e-13)
    ratio = tokens.sum() / costs.sum()
    assert whole.ewif == pytest.approx(ratio, rel=1e-13)
    sigma = np.sqrt(np.sum((tokens - ratio * costs) ** 2) / 399 / 400) / costs.mean()
    assert whole.sigma == pytest.approx(sigma, rel=1e-10)
    assert whole.tokens_sigma == pytest.approx(tokens.std(ddof=1) / 20, rel=1e-10)
    assert whole.cost_sigma == pytest.approx(costs.std(ddof=1) / 20, rel=1e-10)


def test_intervals_are_centred_and_grow_with_confidence():
    made = tally(n_cycles=1000)
    low, high = made.interval(0.9)
    assert (low + high) / 2 == pytest.approx(made.ewif)
    assert made.interval(0.99).half_width > made.interval(0.9).half_width > 0
    low, high = made.tokens_interval(0.95)
    assert (low + high) / 2 == pytest.approx(made.tokens_per_cycle)
    assert made.relative_error(0.9) == pytest.approx(made.interval(0.9).half_width / made.ewif)


def test_one_cycle_has_no_interval():
    with pytest.raises(ValueError, match="at least 2"):
        tally(n_cycles=1).interval()


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, float("nan")])
def test_confidence_is_a_chance(confidence):
    with pytest.raises(ValueError, match="confidence"):
        tally().interval(confidence)


def test_shares_and_means():
    made = tally(n_cycles=1000)
    assert made.pmf.sum() == pytest.approx(1.0)
    assert made.pmf @ np.arange(7) == pytest.approx(made.tokens_per_cycle)
    assert made.passes_per_cycle.tolist() == [1.0, 5.0, 0.0]
    assert made.cost_per_cycle == pytest.approx(1.1 + 0.5)


def test_a_notebook_shows_a_table():
    shown = tally()._repr_html_()
    assert shown.startswith("<table>")
    assert "EWIF" in shown
    assert tally(n_cycles=1)._repr_html_().startswith("<table>")
