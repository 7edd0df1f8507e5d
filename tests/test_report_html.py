"""The report's page and terminal tables: whole, alone, escaped, and true to the numbers."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")  # validate.report imports it
pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from rich.console import Console

from cscalc.cascade import Cascade, Draft, Review
from cscalc.plan import Alternative, make_plan
from cscalc.profile import Profile
from cscalc.theory.law import cycle_law
from tests.strategies import cascades
from validate import report_words as words
from validate.gap import Estimate, Group
from validate.report import Report
from validate.report_html import diagram, render_html
from validate.report_pictures import tasks_picture
from validate.report_text import print_plan, print_profile, print_report

NAMES = ("target", "mid", "tiny", "max-gram")
CASCADE = Cascade((Review(1, (Draft(2, 3),), rounds=2), Draft(3, 10)))
PROFILE = Profile([0.8, 0.5, 0.3], [0.2, 0.05, 0.001], one_shot=[3], names=NAMES)
PLAIN = Cascade(())
NASTY = "<script>alert('x')</script>&\"[bold]$\\frac{}$"
VOID = {"meta", "path", "rect", "circle", "use", "br"}


def quantities(tokens, cost, spread=0.0):
    values = {"tokens_per_cycle": tokens, "cycle_cost": cost, "speedup": tokens / cost}
    return {
        name: Estimate(value, value * (1.0 - spread), value * (1.0 + spread))
        for name, value in values.items()
    }


def a_report(cascade=CASCADE, names=NAMES, held_out=True, temperature=0.0):
    law = cycle_law(cascade, PROFILE)
    tokens, cost = (law.mean, law.cost) if cascade.drafts else (1.0, 1.0)
    pooled, own = quantities(tokens, cost), quantities(0.9 * tokens, cost)
    simulated = quantities(1.001 * tokens, cost, 0.01)
    same = Group("same", 8, pooled, own, simulated, quantities(0.85 * tokens, 1.1 * cost, 0.1))
    wide = quantities(0.9 * tokens, cost, 0.2)
    other = Group("held-out", 6, pooled, wide, simulated, quantities(0.5 * tokens, cost, 0.1))
    used = [names[m] for m in (0, *cascade.models)]
    spent = [float(law.costs[m]) for m in (0, *cascade.models)]
    predicted = {**dict(zip(used, spent, strict=True)), words.OUTSIDE: 0.0}
    measured = {**dict(zip(used, spent, strict=True)), words.OUTSIDE: 0.1 * cost}
    task = {
        "prompts": 2, "pooled_tokens_per_cycle": tokens, "tokens_per_cycle": 0.8 * tokens,
        "speedup": 1.2,
    }  # fmt: skip
    known = {"alphas": [0.7, 0.4, 0.2], "same_tokens_per_cycle": 0.85 * tokens}
    unknown = {"alphas": None, "own_tokens_per_cycle": None, "same_tokens_per_cycle": None}
    tasks = (
        {**task, **known, "task": "code", "own_tokens_per_cycle": 1.1 * tokens},
        {**task, **unknown, "task": "held-out only"},
        {**task, **known, "task": "writing", "own_tokens_per_cycle": 0.7 * tokens},
    )
    residuals = (
        {"term": "acceptance differs between prompts", "factor": 0.9},
        {"term": "acceptance depends on position; chance", "factor": 0.85 / 0.9},
        {"term": f"time of {words.OUTSIDE}", "factor": 1.0 / 1.1},
    )
    curves = {
        "single": {name: [1.3, 1.4, 1.2] for name in names[1:]},
        "chosen": {"length": float(cascade.max_length), "ewif": tokens / cost},
    }
    run = {
        "measured": {"versions": {"numpy": "2.4.6"}, "machine": {"cores": 2}, "command": "x.py"},
        "experiment": {"device": "cpu", "sampling": {"temperature": temperature, "top_k": None}},
        "prompts": 7,
        "same_tokens": 7,
    }
    groups = (same, other) if held_out else (same,)
    both = {"predicted": predicted, "measured": measured}
    return Report(cascade, tuple(names), groups, tasks, both, residuals, curves, run)


def a_plan(cascade=CASCADE):
    others = [Alternative.of(one, PROFILE) for one in (PLAIN, Cascade((Draft(3, 2),)))]
    others += [Alternative.of(Cascade((Draft(1, 2),)), PROFILE)]
    return make_plan(PROFILE, cascade, others, {"max_length": 64})


class Page(HTMLParser):
    """Checks that tags nest, and gathers text, ids and links."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.ids, self.links = [], [], [], []
        self.tags = set()
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[name] for name in ("href", "src", "xlink:href") if name in found]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def shown(printer, thing, width=100):
    page = StringIO()
    printer(thing, Console(file=page, width=width))
    return page.getvalue()


CASES = {
    "nested": a_report(),
    "one group": a_report(held_out=False),
    "plain decoding": a_report(PLAIN),
    "sampled": a_report(temperature=1.0),
    "long names": a_report(names=("t" * 60, "hub/" + "m" * 70, "tiny", "g" * 40)),
    "foreign letters": a_report(names=("模型", "küken", "тест", "max-gram")),
    "until": a_report(Cascade((Review(1, (Review(2, (Draft(3, 2),), until=3),), until=6),))),
}
every_case = pytest.mark.parametrize("report", CASES.values(), ids=CASES)


@every_case
def test_the_page_is_well_formed_and_needs_nothing_else(report):
    text = render_html(report, a_plan())
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert all(link.removeprefix("#") in page.ids for link in page.links)
    clips = re.findall(r"url\(([^)]*)\)", text)
    assert all(clip.removeprefix("#") in page.ids for clip in clips)
    assert "http" not in text
    assert page.tags.isdisjoint({"script", "img", "link", "iframe", "object"})
    assert text.count("<svg role=") == 3  # the three pictures


def test_the_same_report_gives_the_same_page():
    assert render_html(a_report(), a_plan()) == render_html(a_report(), a_plan())


@every_case
@pytest.mark.parametrize("width", [80, 100])
def test_terminal_tables_fit_their_width(report, width):
    plan = replace(a_plan(), profile=Profile([0.8, 0.5, 0.3], [0.2, 0.05, 0.001],
                                             one_shot=[3], names=report.names))  # fmt: skip
    for printer, thing in ((print_report, report), (print_plan, plan),
                           (print_profile, plan.profile)):  # fmt: skip
        lines = shown(printer, thing, width).splitlines()
        assert max(map(len, lines)) <= width


def test_every_number_of_the_main_table_is_on_the_page_and_in_the_terminal():
    report = a_report()
    page, terminal = Page(render_html(report)).words, shown(print_report, report)
    for group in report.groups:
        for part in (group.pooled, group.own, group.simulated, group.measured):
            for estimate in part.values():
                assert f"{estimate.value:.3f}" in page
                assert f"{estimate.value:.3f}" in terminal
                assert words.interval(estimate).strip().replace("\u00a0", " ") in page
        for quantity in group.own:
            change = f"{100 * group.gap(quantity):+.1f}\u00a0%"
            assert change.replace("\u00a0", " ") in page
            assert change in terminal


def test_names_are_escaped_everywhere():
    names = ("target" + NASTY, "mid" + NASTY, "tiny", "max-gram" + NASTY)
    report = a_report(names=names)
    report = replace(report, tasks=({**report.tasks[0], "task": NASTY}, *report.tasks[1:]))
    plan = replace(a_plan(), profile=Profile(PROFILE.alphas, PROFILE.costs, names=names))
    text = render_html(report, plan)
    page = Page(text)
    assert "script" not in page.tags
    assert "<script" not in text
    for name in names:
        assert " ".join(name.split()) in page.words
    for printer, thing in ((print_report, report), (print_plan, plan),
                           (print_profile, plan.profile)):  # fmt: skip
        assert "[bold]" in shown(printer, thing, 300)  # rich did not read it as markup


def test_a_dollar_in_the_name_of_a_task_is_not_read_as_a_formula():
    report = a_report()
    report = replace(report, tasks=({**report.tasks[0], "task": "$x$ & y"},))
    picture = tasks_picture(report)
    assert ">$x$ &amp; y</text>" in picture


def test_without_a_plan_there_are_no_alternatives_on_the_page():
    with_plan, without = render_html(a_report(), a_plan()), render_html(a_report())
    assert "what it beat" in with_plan
    assert "what it beat" not in without
    assert "ran another cascade" not in with_plan


def test_a_plan_of_another_cascade_is_said_to_be_another():
    assert "ran another cascade" in render_html(a_report(), a_plan(Cascade((Draft(1, 3),))))


def test_a_choice_on_own_rates_is_said_to_be_one():
    own = {"ewif": 1.234, "tokens_per_cycle": 2.0, "cycle_cost": 1.5}
    limits = {"max_length": 64, "proved": True, "chosen_on": "the own rates of 9 prompts",
              "own_rates": own}  # fmt: skip
    plan = replace(a_plan(), limits=limits)
    for text in (Page(render_html(a_report(), plan)).words, shown(print_plan, plan, 400)):
        assert "Chosen on the own rates of 9 prompts: " in text
        assert "EWIF 1.234 over these prompts, each at its own rates" in text
        assert "2 tokens per cycle / 1.5 target passes" in text
        assert "Searched within: max length 64." in text  # the proof was of the other choice
    pooled = replace(plan, limits={"max_length": 64, "proved": True})
    assert "Chosen on" not in shown(print_plan, pooled)
    assert "Searched within: max length 64, proved yes." in shown(print_plan, pooled)


def test_drafts_with_a_higher_ewif_than_the_chosen_cascade_are_named():
    curves = {"single": {"mid": [1.1, 1.6], "tiny": [1.2], "max-gram": [1.5, 1.3]},
              "chosen": {"length": 3.0, "ewif": 1.4}}  # fmt: skip
    said = words.rivals_sentence(replace(a_report(), curves=curves))
    assert "mid and max-gram alone" in said
    curves["chosen"]["ewif"] = 1.6
    assert words.rivals_sentence(replace(a_report(), curves=curves)) == ""


def test_leftover_factors_lead_from_prediction_to_measurement():
    report = a_report()
    found = words.leftovers(report)
    speed = report.groups[0].pooled["speedup"].value
    for one in found:
        speed *= one.factor
        assert one.speed == pytest.approx(speed, rel=1e-12)
    assert found[-1].speed == pytest.approx(report.groups[0].measured["speedup"].value, rel=1e-12)
    assert [one.term for one in found] == [one["term"] for one in report.residuals]


@given(st.lists(st.floats(0.5, 2.0), max_size=4))
@settings(deadline=None)
def test_what_no_term_explains_is_shown_as_not_named(factors):
    terms = tuple({"term": f"t{i}", "factor": f} for i, f in enumerate(factors))
    report = replace(a_report(), residuals=terms)
    found = words.leftovers(report)
    measured = report.groups[0].measured["speedup"].value
    assert found[-1].speed == pytest.approx(measured, rel=2e-4)
    most = max(
        found, key=lambda one: abs(one.factor - 1.0) if one.factor > 1 else 1 / one.factor - 1
    )
    assert most.term in words.leftover_sentence(report)


def test_the_largest_term_is_named_with_its_direction():
    said = words.leftover_sentence(a_report())
    assert "“acceptance differs between prompts”, lowers the speed-up by 10.0 %" in said
    none = replace(a_report(), residuals=())
    same = replace(none.groups[0], measured=none.groups[0].pooled)
    assert "agree" in words.leftover_sentence(replace(none, groups=(same,)))


@given(cascades())
@settings(deadline=None, max_examples=60)
def test_steps_and_diagram_name_every_model_and_the_longest_draft(cascade):
    lines = words.steps(cascade, NAMES)
    assert len(lines) == len(cascade.drafts) + 1
    boxes = Page(diagram(cascade, NAMES)).words
    for text in (" ".join(lines), boxes):
        assert "target" in text
        assert all(NAMES[model] in text for model in cascade.models)
    assert cascade.max_length <= 1 or f"up to {cascade.max_length}" in lines[-1]


def test_steps_say_how_often_a_review_is_repeated():
    first, second, last = words.steps(CASCADE, NAMES)
    assert first == ("(tiny proposes 3 tokens; mid reviews and adds 1 token of its own), 2 times.")
    assert second == "max-gram proposes 10 tokens."
    assert last == "target verifies them, up to 18, in one pass, and adds 1 token of its own."
    assert words.steps(PLAIN, NAMES) == ["target writes one token a pass, with no drafts."]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(1.1, 1.9, "clearly faster"), (0.5, 0.9, "clearly slower"), (0.9, 1.2, "no clear"),
     (1.3, 1.3, "without an interval")],
)  # fmt: skip
def test_the_verdict_goes_by_the_interval(low, high, said):
    group = a_report().groups[0]
    speed = {**group.measured, "speedup": Estimate(0.5 * (low + high), low, high)}
    assert said in words.verdict(replace(group, measured=speed))


def test_only_predicted_intervals_judge_the_measurement():
    same, other = a_report().groups
    assert words.agreement(same, "tokens_per_cycle") == ""
    assert words.agreement(other, "tokens_per_cycle") == "outside the predicted interval"
    inside = replace(other, measured=other.own)
    assert words.agreement(inside, "tokens_per_cycle") == "in the predicted interval"


def test_equal_tokens_are_claimed_only_for_greedy_decoding():
    assert "All 7 replies" in words.lossless_sentence(a_report())
    partly = a_report()
    partly.run["same_tokens"] = 5
    assert "5 of 7" in words.lossless_sentence(partly)
    assert "at random" in words.lossless_sentence(a_report(temperature=1.0))
    assert words.lossless_sentence(a_report(PLAIN)) == ""


def test_tasks_without_measured_prompts_have_a_dash():
    row = next(
        line for line in shown(print_report, a_report()).splitlines() if "held-out only" in line
    )
    assert row.split()[2:7] == ["-"] * 5
    assert "has no prediction" in render_html(a_report())


def test_settings_hold_versions_machine_and_sampling():
    rows = dict(words.settings(a_report()))
    assert rows["sampling temperature"] == "0.0"
    assert rows["versions numpy"] == "2.4.6"
    assert rows["machine cores"] == "2"
    assert rows["command"] == "x.py"
    assert "sampling top k" not in rows  # not set


def test_the_profile_shows_intervals_of_measured_rates():
    prompts = [{"contexts": 4, "overlap": {"0,1": values}} for values in ([1, 0, 1, 1], [1, 1, 0])]
    measured = Profile([5 / 7], [0.1], verify={0: [1.0, 1.5]},
                       measurement={"prompts": prompts, "pass_seconds": 0.02})  # fmt: skip
    text = shown(print_profile, measured)
    assert "0.714" in text
    assert "[0.67,\u00a00.75]" in text  # both prompts alike: 2/3 and 3/4
    assert "20 ms" in text
    assert "1.50" in text
    assert "[" not in shown(print_profile, Profile([0.5], [0.1]))
