"""What a report must not claim: impossible intervals, verdicts from few prompts, like for like."""

import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from hypothesis import given, settings

pytest.importorskip("torch")  # validate.report imports it
pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from rich.console import Console

from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.simulate import simulate
from cscalc.theory.law import cycle_law
from tests.strategies import cascades
from tests.test_report_html import Page, a_report
from validate import report_words as words
from validate.gap import QUANTITIES, make_group
from validate.report import Report
from validate.report_html import render_html
from validate.report_limits import FEW, cut, possible
from validate.report_notebook import report_notebook
from validate.report_text import print_report

PROFILE = Profile([0.8, 0.5, 0.3], [0.2, 0.05, 0.001], one_shot=[3])
CASCADE = Cascade((Draft(1, 1), Draft(3, 4)))


def text_of(printer, thing, width=400):
    page = StringIO()
    printer(thing, Console(file=page, width=width))
    return page.getvalue()


def every_showing(report):
    """The report as terminal text, page, notebook cell and JSON."""
    page = Page(render_html(report)).words
    yield from (text_of(print_report, report), page, report_notebook(report))
    yield from (json.dumps(report.to_dict()), repr(report))


def a_record(number, tokens, cycles, seconds):
    emitted = [tokens // cycles] * cycles
    side = {"emitted": emitted, "decode_seconds": seconds, "seconds": {}, "reviewed": emitted}
    plain = {"emitted": [1] * 24, "decode_seconds": 24.0, "seconds": {}, "reviewed": [0] * 24}
    return {"question_id": number, "category": "a", "plain": plain, "cascade": side}


@given(cascades())
@settings(deadline=None, max_examples=60)
def test_every_law_and_every_simulation_lies_within_what_is_possible(cascade):
    law, within = cycle_law(cascade, PROFILE), possible(cascade, PROFILE)
    tally = simulate(cascade, PROFILE, 200, rng=np.random.default_rng(1))
    found = {
        "tokens_per_cycle": (law.mean, tally.tokens_per_cycle),
        "cycle_cost": (law.cost, tally.cost_per_cycle),
        "speedup": (law.ewif, tally.ewif),
    }
    for quantity, values in found.items():
        low, high = within[quantity]
        assert all(low * (1 - 1e-12) <= value <= high * (1 + 1e-12) for value in values)


def test_a_nested_cycle_costs_at_most_all_its_calls():
    cascade = Cascade((Review(1, (Draft(2, 3),), rounds=2), Draft(2, 4, until=20)))
    low, high = possible(cascade, PROFILE)["cycle_cost"]
    assert low == pytest.approx(1.0 + 0.2 + 0.05)  # the second draft may not be called
    assert high == pytest.approx(1.0 + 2 * (0.2 + 3 * 0.05) + 20 * 4 * 0.05)


def test_an_interval_never_leaves_its_value_out():
    assert cut(0.9, 0.5, 0.95, (1.0, 6.0)) == (0.9, 0.95)
    assert cut(7.0, 6.5, 9.0, (1.0, 6.0)) == (6.5, 7.0)


def test_two_measured_prompts_predict_nothing_impossible():
    """Tokens per cycle came out as [0.36, 36.30] for a cascade that emits 1 to 6."""
    own = {1: np.array([8, 8, 8, 1.6, 0, 0.008]), 2: np.array([30, 6, 6, 1.2, 0, 0.006])}
    records = [a_record(n, 24, 8, 10.0 + n) for n in (7, 8)]
    group = make_group("held-out", CASCADE, PROFILE, own, records, np.random.default_rng(0))
    within = possible(CASCADE, PROFILE)
    for part in (group.own, group.simulated):
        for quantity in QUANTITIES:
            low, high = within[quantity]
            assert low <= part[quantity].low <= part[quantity].value <= part[quantity].high <= high
    assert group.own["tokens_per_cycle"].to_list()[1:] == [1.0, 6.0]
    assert group.n_measured == 2
    assert words.agreement(group, "tokens_per_cycle") == "too few prompts"


@pytest.mark.parametrize("count", [1, 2, FEW - 1])
def test_few_prompts_are_called_few_and_judge_nothing(count):
    report = a_report()
    groups = tuple(replace(group, n_prompts=count, n_measured=count) for group in report.groups)
    report = replace(report, groups=groups)
    for shown in every_showing(report):
        assert "clearly" not in shown
        assert "the predicted interval." not in shown.replace("in the predicted interval.", "")
        assert "fewer than 5 prompts says nothing" in shown
        assert f"rests on {count} measured prompt" in shown
    for group in report.groups:
        assert f"too few prompts to say more ({count};" in words.verdict(group)
    assert words.agreement(report.groups[1], "speedup") == "too few prompts"
    assert "too few" in text_of(print_report, report)


def test_enough_prompts_need_no_note():
    report = a_report()
    groups = tuple(replace(group, n_measured=8) for group in report.groups)
    report = replace(report, groups=groups)
    assert report.notes == []
    assert all("Note" not in shown for shown in every_showing(report))
    assert "clearly" in text_of(print_report, report)


def test_a_saved_report_keeps_its_notes_and_an_older_one_is_read(tmp_path):
    report = a_report()
    groups = tuple(replace(group, n_prompts=2, n_measured=2) for group in report.groups)
    report = replace(report, groups=groups)
    report.save(tmp_path / "report.json")
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["notes"] == report.notes == Report.load(tmp_path / "report.json").notes
    for group in data["groups"]:
        del group["n_measured"]
    del data["notes"]
    assert len(Report.from_dict(data).notes) == 2  # the groups' own, not the measured prompts'


@pytest.mark.parametrize(
    ("field", "measured", "ran", "said"),
    [
        ("max_tokens", 12, 24, ["replies of up to 12 tokens", "have up to 24", "--max-tokens 24"]),
        ("device", "cpu", "cuda:0", ["measured on cpu with", "was on cuda:0 with"]),
        ("engine", None, {"graphs": True}, ["the eager engine", "the graphs engine"]),
        ("engine", {"compile": "default"}, {}, ["the compiled engine", "the static engine"]),
    ],
)
def test_a_run_with_other_settings_is_said_to_be_one(field, measured, ran, said):
    report = a_report()
    for name, value in (("experiment", measured), ("run", ran)):
        settings_ = {"device": "cpu", "max_tokens": 24, **report.run.get(name, {})}
        report.run[name] = settings_ | ({} if value is None else {field: value})
    assert len(report.notes) == 1
    for shown in every_showing(report):
        assert all(part in shown for part in said), shown
    report.run["run"] = dict(report.run["experiment"])
    assert report.notes == []
