"""`python -m cscalc check` passes when theory holds, and fails when an error is planted.

False alarm of one run of `check`: at most its --alarm, 1e-3 by default; seeds are fixed.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from cscalc._check_cases import PLANTS, random_case, simulate_with
from cscalc.acceptance import rate_table
from cscalc.cascade import Cascade, Draft, Review
from cscalc.check import KINDS, Check, check, compare_one
from cscalc.cli import app
from cscalc.profile import Profile
from cscalc.simulate import agreement
from cscalc.theory.law import cycle_law

FEW = ["--cascades", "6", "--cycles", "5000"]
PLANTED = ["--cascades", "4", "--cycles", "2000"]


def command(*options):
    return CliRunner().invoke(app, ["check", *options])


def test_theory_holds_and_the_command_says_so():
    run = command(*FEW, "--seed", "3")
    assert run.exit_code == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["holds"] is True
    assert found["comparisons"] == 24 == 4 * len(found["rows"])
    assert found["threshold"] == pytest.approx(1e-3 / 24)
    assert found["worst_p"] == min(min(row["p_values"].values()) for row in found["rows"])
    assert "theory and simulation agree" in " ".join(run.stderr.split())


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_error_gives_exit_status_1(plant):
    run = command(*PLANTED, "--plant", plant)
    assert run.exit_code == 1
    found = json.loads(run.stdout)
    assert found["holds"] is False
    assert found["beyond"] >= 1
    assert found["plant"] == plant
    assert "DISAGREE" in run.stderr


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_error_is_caught_whatever_the_seed(plant, seed):
    assert not check(5, 1000, seed=seed, plant=plant).holds


def test_each_planted_error_shows_where_it_should():
    beyond = {plant: failed(check(6, 2000, seed=1, plant=plant)) for plant in PLANTS}
    assert beyond["bonus"] == {"tokens", "ewif", "lengths"}
    assert beyond["verify"] == {"cost", "ewif"}
    assert beyond["after-rejection"] == {"tokens", "ewif", "lengths"}


def failed(found):
    return {kind for row in found.rows for kind, p in row.p_values.items() if p < found.threshold}


def test_what_is_planted_makes_the_difference_and_nothing_else():
    # 10 cascades of 3000 cycles; false alarm 1e-6 each
    for rng in np.random.default_rng(8).spawn(10):
        cascade, profile = random_case(rng)
        law = cycle_law(cascade, profile)
        right = simulate_with(None, cascade, profile, 3000, rng)
        assert agreement(right, law.pmf, law.cost).holds(), cascade


def test_the_shell_sees_the_exit_status():
    command = [sys.executable, "-m", "cscalc", "check", *PLANTED, "--plant", "bonus"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    assert json.loads(run.stdout)["holds"] is False
    assert "Traceback" not in run.stderr


def test_the_shell_sees_status_0_when_theory_holds():
    run = subprocess.run(
        [sys.executable, "-m", "cscalc", "check", "--cascades", "2", "--cycles", "2000"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--cycles", "-1"], "n_cycles must be >= 1000, got -1"),
        (["--cascades", "0"], "n_cascades must be >= 1, got 0"),
        (["--alarm", "0"], "alarm must lie strictly between 0 and 1"),
        (["--plant", "typo"], "plant must be one of 'bonus', 'verify', 'after-rejection'"),
        (["--picture", "qq.gif"], "picture must end in .pdf, .png, .svg"),
        (["--picture", "nowhere/qq.png"], "there is no folder nowhere"),
    ],
)
def test_bad_input_is_one_sentence(options, sentence):
    run = command(*PLANTED, *options)
    assert isinstance(run.exception, ValueError)
    assert sentence in str(run.exception)


@pytest.mark.parametrize("plant", [None, "verify"])  # with it, p-values of 0 are drawn too
def test_the_picture_is_drawn(tmp_path, plant):
    pytest.importorskip("matplotlib")
    planted = [] if plant is None else ["--plant", plant]
    run = command(*PLANTED, "--picture", str(tmp_path / "qq.png"), *planted)
    assert run.exit_code == (plant is not None)
    assert (tmp_path / "qq.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_comparisons_and_another_seed_others():
    assert check(2, 2000, seed=5) == check(2, 2000, seed=5)
    assert check(2, 2000, seed=5).rows[0].cascade != check(2, 2000, seed=6).rows[0].cascade


def test_random_cases_fit_and_reach_every_part_of_the_grammar():
    kinds, acceptance, one_shot, measured, repeats = set(), set(), 0, 0, 0
    for rng in np.random.default_rng(2).spawn(150):
        cascade, profile = random_case(rng)
        profile.check(cascade)
        law = cycle_law(cascade, profile)
        assert law.pmf.size == cascade.max_length + 2
        rates = rate_table(profile.alphas, profile.acceptance)
        pairs = np.triu_indices(profile.n_drafts + 1, 1)
        assert np.all((rates[:, *pairs] >= 0.2) & (rates[:, *pairs] <= 0.95))
        kinds.add(cascade.kind)
        acceptance.add(profile.acceptance.kind)
        one_shot += bool(profile.one_shot)
        measured += bool(profile.verify)
        repeats += "until" in str(cascade)
    assert kinds == {"speculative", "horizontal", "vertical", "nested"}
    assert acceptance == {"independent", "by_position", "conditional"}
    assert min(one_shot, measured, repeats) > 20


def test_p_values_are_uniform_when_theory_holds():
    # N = 240 cascades; shares within 4.5 sigma (false alarm of all eight: 6e-5); costs without
    # spread, and laws of one bin, give p = 1 and are left out
    found = [check(60, 20_000, seed=seed) for seed in range(4)]
    rows = [row for one in found for row in one.rows]
    for kind in KINDS:
        p = np.array([row.p_values[kind] for row in rows])
        p = p[p < 1.0]
        assert p.size > 80, kind
        assert np.mean(p < 0.1) == pytest.approx(0.1, abs=4.5 * np.sqrt(0.09 / p.size)), kind
        assert np.mean(p < 0.5) == pytest.approx(0.5, abs=4.5 * np.sqrt(0.25 / p.size)), kind


def test_a_cost_too_rare_to_be_seen_is_no_alarm():
    # a second round comes once in 3,334 cycles; seen in none of 1,000, the spread is 0
    cascade = Cascade((Review(1, (Draft(2, 3),), until=4),))
    profile = Profile([[1, 0.5, 0.5], [0, 1, 0.9999], [0, 0, 1]], [0.3, 0.1])
    rows = [compare_one(cascade, profile, 1000, rng) for rng in np.random.default_rng(1).spawn(20)]
    assert any(row.simulated[1] == pytest.approx(1.6) for row in rows)
    assert all(row.p_values["cost"] > 1e-3 for row in rows)


def test_the_table_shows_the_worst_first_and_not_more_than_asked():
    found = check(5, 2000, seed=1)
    table = found.table(most=3)
    assert table.row_count == 3
    worst = min(found.rows, key=lambda row: min(row.p_values.values()))
    assert next(iter(table.columns[0].cells)) == str(worst.cascade)


def test_one_p_value_beyond_the_threshold_is_enough():
    found = check(3, 2000, seed=1)
    strict = Check(found.rows, found.cycles, found.seed, alarm=0.999, plant=None)
    assert found.holds
    assert strict.threshold == pytest.approx(0.999 / 12)
    loose = Check(found.rows, found.cycles, found.seed, alarm=12 * found.worst, plant=None)
    assert loose.holds  # at the threshold is not beyond it
    assert not Check(found.rows, 1, 1, alarm=12.001 * found.worst, plant=None).holds
