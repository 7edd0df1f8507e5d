"""What notebooks show: well-formed, complete, escaped, and nothing loaded from elsewhere."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cscalc import (
    Cascade,
    Draft,
    Independent,
    Markov,
    Plan,
    Profile,
    Review,
    optimal_config,
    simulate,
)
from cscalc._html import bars, escape, facts, paragraphs, table
from cscalc.cascade import walk
from cscalc.diagram import MOST_SQUARES, cascade_svg
from tests.strategies import LAST, cascades, cases

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert('x')</script>&\"\x00\ud800 {0} %s"
names = st.one_of(st.just(HOSTILE), st.text(max_size=40))
name_lists = st.lists(names, min_size=LAST + 1, max_size=LAST + 1)
ROOT = Path(__file__).resolve().parents[1]


def parsed(shown):
    """The element that HTML makes, after what every repr must keep to."""
    shown.encode("utf-8")
    tree = ElementTree.fromstring(shown)
    tags = {element.tag.removeprefix(SVG) for element in tree.iter()}
    assert tags <= {
        "div", "p", "code", "table", "thead", "tbody", "tr", "th", "td",
        "svg", "title", "g", "rect", "path", "text",
    }  # fmt: skip
    known = {name for element in tree.iter() for name in element.attrib}
    assert not known & {"id", "class", "href", "src", "onload"}  # two outputs share one page
    styles = [element.get("style", "") for element in tree.iter()]
    assert not re.search(r"url|import|:[^;]*(black|white|#)", " ".join(styles))  # light and dark
    return tree


def shown_text(tree):
    """All text, as a reader meets it."""
    return " ".join(text for text in tree.itertext() if text.strip())


def boxes(tree, kind):
    return [e for e in tree.iter(f"{SVG}g") if e.get("data-kind") == kind]


def frame(group):
    rect = group.find(f"{SVG}rect")
    left, top, width, height = (float(rect.get(a)) for a in ("x", "y", "width", "height"))
    return left, top, left + width, top + height


@given(cascades(), name_lists, st.sets(st.integers(1, LAST)))
@settings(max_examples=150, deadline=None)
def test_the_diagram_holds_every_segment_once(cascade, called, one_shot):
    tree = parsed(cascade_svg(cascade, called, one_shot=one_shot))
    segments = list(walk(cascade.drafts))
    drafts = [s for s in segments if isinstance(s, Draft)]
    reviews = [s for s in segments if isinstance(s, Review)]
    assert len(boxes(tree, "draft")) == len(drafts)
    assert len(boxes(tree, "review")) == len(reviews)
    assert len(boxes(tree, "target")) == 1
    said = [shown_text(box) for box in boxes(tree, "draft")]
    for draft in drafts:
        count = f"proposes {draft.length} token"
        assert sum(count in one for one in said) >= sum(d.length == draft.length for d in drafts)
        assert not (draft.model in one_shot and draft.length > 1) or any("pass" in s for s in said)
    stops = sorted(
        f"until {s.until} token{'s' * (s.until > 1)} are there"
        if s.until
        else f"{s.rounds} round{'s' * (s.rounds > 1)}"
        for s in segments
        if s.until or isinstance(s, Review)
    )
    groups = boxes(tree, "group")
    assert sorted(group.findall(f"{SVG}text")[0].text for group in groups) == stops
    dashed = [g for g in groups if g.find(f"{SVG}rect").get("stroke-dasharray")]
    assert len(dashed) == sum(s.until is not None for s in segments)


@given(cascades(), name_lists)
@settings(max_examples=80, deadline=None)
def test_boxes_lie_in_their_frames_and_beside_one_another(cascade, called):
    tree = parsed(cascade_svg(cascade, called))
    width, height = float(tree.get("width")), float(tree.get("height"))

    def check(parent, bounds):
        inner = [frame(group) for group in parent.findall(f"{SVG}g")]
        for left, top, right, bottom in inner:
            assert bounds[0] < left < right < bounds[2]
            assert bounds[1] < top < bottom < bounds[3]
        for one, after in pairwise(inner):
            assert one[2] < after[0]
        for group in parent.findall(f"{SVG}g"):
            check(group, frame(group))

    check(tree, (0.0, 0.0, width + 1, height + 1))


def test_a_long_draft_ends_in_dots_and_a_long_name_is_cut():
    cascade = Cascade((Draft(1, 60),))
    tree = parsed(cascade_svg(cascade, ["target", "n" * 60]))
    (box,) = boxes(tree, "draft")
    assert len(box.findall(f"{SVG}rect")) == 1 + MOST_SQUARES
    assert "…" in shown_text(box)
    assert "n" * 60 not in shown_text(box)
    assert "n" * 60 in tree.get("aria-label")


def test_a_round_and_a_threshold_of_one_are_in_the_singular():
    once = Cascade((Review(1, (Draft(2, 1),), rounds=1), Review(1, (Draft(2, 1),), until=2)))
    text = shown_text(parsed(once._repr_html_()))
    assert "1 round " in text
    assert "until 2 tokens are there" in text
    assert "proposes 1 token " in text


def test_wide_letters_get_wide_boxes():
    latin, wide = (cascade_svg(Cascade(()), [letter * 28]) for letter in "a語")
    assert float(parsed(wide).get("width")) > 1.5 * float(parsed(latin).get("width"))


def test_names_must_reach_the_last_model():
    with pytest.raises(ValueError, match=r"models 0\.\.2 of the cascade, got 2: give 3"):
        cascade_svg(Cascade((Draft(2, 1),)), ["target", "draft"])


@given(cascades())
@example(Cascade(()))
@settings(max_examples=40, deadline=None)
def test_a_cascade_shows_its_diagram_and_its_notation(cascade):
    text = shown_text(parsed(cascade._repr_html_()))
    assert cascade.kind in text
    assert (str(cascade) if cascade.drafts else "no drafts") in text


@given(cases(), name_lists)
@settings(max_examples=60, deadline=None)
def test_a_profile_shows_every_rate_and_cost(case, called):
    _, drawn = case
    profile = Profile(
        drawn.alphas, drawn.costs, one_shot=drawn.one_shot, verify=dict(drawn.verify), names=called
    )
    tree = parsed(profile._repr_html_())
    rows = [[cell.text or "" for cell in row] for row in next(tree.iter("table")).iter("tr")]
    assert len(rows) == profile.n_drafts + 2
    for model, row in enumerate(rows[1:]):
        assert row[0] == str(model)
        assert row[-1].startswith(f"{profile.cost(model):.4g}")
        assert (model in profile.one_shot) == row[-1].endswith("of any length")
        given_rates = [
            f"{profile.alphas[i, model]:.4g}" for i in range(model) if i not in profile.one_shot
        ]
        assert [cell for cell in row[2:-1] if cell] == given_rates
    assert len(list(tree.iter("table"))) == 1 + bool(profile.verify)


@pytest.mark.parametrize(
    ("measurement", "said"),
    [
        ({"prompts": [{}], "contexts": [40]}, "Measured on 1 prompt, 40 tokens of text."),
        ({"prompts": [{}, {}]}, "Measured on 2 prompts."),
        ({"prompts": 3, "contexts": "x"}, "Measured."),
        ({}, "Measured."),
    ],
)
def test_a_profile_says_what_is_behind_it(measurement, said):
    shown = shown_text(parsed(Profile([0.5], [0.1], measurement=measurement)._repr_html_()))
    assert said in shown


def test_a_profile_names_its_acceptance_model_unless_independent():
    plain = Profile([0.5], [0.1])
    markov = Profile([0.5], [0.1], acceptance=Markov([0.7], [0.3], to_easy=0.2, to_hard=0.1))
    assert isinstance(plain.acceptance, Independent)
    assert "Acceptance" not in plain._repr_html_()
    assert "Acceptance: Markov" in markov._repr_html_()


def test_verification_costs_stop_where_they_are_known():
    tree = parsed(Profile([0.5], [0.1], verify=[1.0, 1.2, 1.3])._repr_html_())
    table = list(tree.iter("table"))[1]
    assert [cell.text for cell in list(table.iter("tr"))[1]] == [
        "target", "1", "1.2", None, None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("called", [("target", "a", "b"), (HOSTILE, HOSTILE, HOSTILE)])
def test_a_plan_shows_words_diagram_and_ranking(called):
    profile = Profile([0.8, 0.4], [0.1, 0.01], one_shot=(2,), names=called)
    plan = optimal_config(profile, max_length=6)
    tree = parsed(plan._repr_html_())
    drafts = [s for s in walk(plan.cascade.drafts) if isinstance(s, Draft)]
    assert len(boxes(tree, "draft")) == len(drafts)
    text = shown_text(tree)
    for line in plan.explain().splitlines():
        assert line.replace("\x00", "\ufffd").replace("\ud800", "\ufffd") in text
    assert len(list(tree.iter("tr"))) == 1 + len(plan.alternatives)
    for one in plan.alternatives:
        assert f"{one.ewif:.4f}" in text


def test_a_plan_of_plain_decoding_shows():
    plan = optimal_config([0.1], [0.9])
    assert isinstance(plan, Plan)
    assert "writes 1 token a pass" in shown_text(parsed(plan._repr_html_()))


@pytest.mark.parametrize("n_cycles", [1, 500])
def test_a_tally_shows_its_numbers_and_its_law(n_cycles):
    tally = simulate(
        Cascade((Draft(1, 3),)), Profile([0.8], [0.1]), n_cycles, rng=np.random.default_rng(3)
    )
    tree = parsed(f"<div>{tally._repr_html_()}</div>")
    text = shown_text(tree)
    assert f"{tally.tokens:,}" in text
    assert tally.run_id in text
    bars_drawn = list(tree.iter(f"{SVG}rect"))
    assert len(bars_drawn) == 4
    heights = np.array([float(bar.get("height")) for bar in bars_drawn])
    np.testing.assert_allclose(heights / heights.max(), tally.pmf[1:] / tally.pmf.max(), atol=2e-3)


def test_bars_of_nothing_are_flat_and_labels_have_room():
    flat = parsed(bars("share", [("1", 0.0), ("2", 0.0)]))
    assert {bar.get("height") for bar in flat.iter(f"{SVG}rect")} == {"0.0"}
    many = parsed(bars("share", [(str(i), 1.0) for i in range(1, 101)]))
    places = [float(t.get("x")) for t in many.iter(f"{SVG}text") if t.get("text-anchor")]
    assert min(np.diff(places)) >= 25
    assert len(list(many.iter(f"{SVG}rect"))) == 100


@given(st.text())
@example(HOSTILE)
def test_any_text_comes_back_from_a_page_as_it_went_in(text):
    kept = escape(text)
    tree = ElementTree.fromstring(f'<p a="{kept}">{kept}</p>')
    assert len(tree) == 0
    allowed = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    allowed = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", allowed)
    assert (tree.text or "") == allowed.replace("\r\n", "\n").replace("\r", "\n")
    for part in (table([(text,), (text,)]), facts([(text, text)]), paragraphs([text])):
        parsed(f"<div>{part}</div>")


def test_a_report_shows_diagram_verdict_table_and_terms():
    pytest.importorskip("torch")
    from validate.report import Report

    report = Report.load(ROOT / "benchmarks" / "records" / "demo-report.json")
    data = report.to_dict()
    data["names"][1] = HOSTILE
    for one in (report, Report.from_dict(data)):
        tree = parsed(one._repr_html_())
        assert len(boxes(tree, "draft")) == len(one.cascade.drafts)
        text = shown_text(tree).replace("\u00a0", " ")
        for row in one.rows():
            assert all(cell in text for cell in row)
        assert "times plain decoding's speed" in text
        assert len(repr(one).splitlines()) == 1 + len(one.rows())
        assert all(cell in repr(one) for row in one.rows() for cell in row)
        assert all(term["term"] in text for term in report.residuals)
