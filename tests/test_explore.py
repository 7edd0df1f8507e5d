"""The explorer: its kernel under node against the library, the page's text, the command."""

import json
import re
import sys

import numpy as np
import pytest

import cscalc.cli
from cscalc._plan_words import break_even_anew
from cscalc.acceptance import Markov
from cscalc.explore import ENGINE, PAGE, explorer_page, write_explorer
from cscalc.export import ENGINES, export
from cscalc.plan import Alternative, make_plan
from cscalc.profile import Profile
from cscalc.theory.cs_drafting import vertical_ewif
from cscalc.theory.effective import effective_bound_details
from cscalc.theory.horizontal import horizontal_ewif
from cscalc.theory.law import cycle_law
from cscalc.theory.speculative import optimal_length, speculative_ewif
from tests.explorer import (
    DEFAULT,
    FOLDER,
    NODE,
    best_plan,
    cascade_of,
    module,
    node,
    profile_of,
    states,
)

needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
EXACT = 1e-9  # relative; the page and the library do the same sums in float64


def imports(*names):
    return "\n".join(f"import * as {name} from '{module(f'{name}.mjs')}';" for name in names)


def segments(rng, reviewer, one_shot, depth):
    """Random segments of any model below `reviewer`, in any order: more than the page offers."""
    found = []
    for _ in range(int(rng.integers(1, 4))):
        model = int(rng.integers(reviewer + 1, 4))
        if depth and model < 3 and model not in one_shot and rng.random() < 0.6:
            inner = segments(rng, model, one_shot, depth - 1)
            found.append({"review": model, "drafts": inner, "rounds": int(rng.integers(1, 4))})
        else:
            found.append({"draft": model, "length": int(rng.integers(1, 6))})
    if rng.random() < 0.5:  # cumulative: far enough to make a call
        found[-1].pop("rounds", None)
        found[-1]["until"] = 70
    return found


@needs_node
def test_laws_of_any_cascade_agree():
    rng = np.random.default_rng(8)
    cases = []
    for state in states(60, seed=1):
        state = {**state, "on": [True] * 3, "tables": DEFAULT["tables"], "longest": 64}
        one_shot = profile_of(state).one_shot
        cases.append({"state": state, "drafts": segments(rng, 0, one_shot, 2)})
    cases = [one for one in cases if cascade_of(one["drafts"], one["state"]).max_length < 250]
    assert len(cases) >= 30
    script = "reply(data.map((x) => kernel.cycleLaw(x.drafts, plan.profileOf(x.state))))"
    for case, law in zip(cases, node(imports("kernel", "plan") + script, cases), strict=True):
        want = cycle_law(cascade_of(case["drafts"], case["state"]), profile_of(case["state"]))
        np.testing.assert_allclose(law["pmf"], want.pmf, rtol=EXACT, atol=1e-15)
        np.testing.assert_allclose(law["passes"], want.passes, rtol=EXACT)
        np.testing.assert_allclose(law["costs"], want.costs, rtol=EXACT)
        assert law["ewif"] == pytest.approx(want.ewif, rel=EXACT)


@needs_node
def test_the_best_cascade_is_the_proved_optimum():
    cases = states(60, seed=2)
    script = """reply(data.map((state) => {
      const found = plan.plan(state);
      return {drafts: found.best.drafts, ewif: found.best.law.ewif, proved: found.proved,
              order: found.rows.map((row) => row.law.ewif)};
    }))"""
    for state, found in zip(cases, node(imports("plan") + script, cases), strict=True):
        want = best_plan(state)
        assert found["proved"]
        assert found["ewif"] == pytest.approx(want.ewif, rel=EXACT), (state, found)
        law = cycle_law(cascade_of(found["drafts"], state), profile_of(state))
        assert found["ewif"] == pytest.approx(law.ewif, rel=EXACT)
        assert found["order"] == sorted(found["order"], reverse=True)
        assert found["order"][0] == found["ewif"]


@needs_node
def test_closed_forms_agree():
    rng = np.random.default_rng(3)
    a, b, inner = (rng.choice([0.0, 1.0, 0.5, 1 - 1e-12], (50, 3), p=[0.05, 0.05, 0.85, 0.05])
                   * rng.choice([1.0, rng.random()], (50, 3))).T  # fmt: skip
    c, d = 10 ** rng.uniform(-4, 0, (2, 50))
    n, k = rng.integers(0, 20, (2, 50))
    script = """reply({
      speculative: data.map(([a, b, inner, c, d, n, k]) => kernel.speculativeEwif(a, c, k)),
      vertical: data.map(([a, b, inner, c, d, n, k]) => kernel.verticalEwif(a, c, inner, d, n, k)),
      horizontal: data.map(([a, b, inner, c, d, n, k]) =>
        kernel.horizontalEwif([[a, c, n, false], [b, d, k, true]])),
      length: data.map(([a, b, inner, c, d, n, k]) => kernel.optimalLength(a, c, 64)),
    })"""
    found = node(imports("kernel") + script, np.stack([a, b, inner, c, d, n, k], 1).tolist())
    pairs, lengths = np.stack([a, b], 1), np.stack([n, k], 1)
    want = {
        "speculative": speculative_ewif(a, c, k),
        "vertical": vertical_ewif(a, c, inner, d, n, k),
        "horizontal": horizontal_ewif(
            pairs, np.stack([c, d], 1), lengths, one_shot=np.array([False, True])
        ),
        "length": optimal_length(a, c, max_length=64),
    }
    for name, values in want.items():
        np.testing.assert_allclose(found[name], values, rtol=EXACT, err_msg=name)


@needs_node
@pytest.mark.parametrize("kind", ["vertical", "horizontal"])
@pytest.mark.parametrize("one_shot", [False, True])
def test_effective_bounds_agree(kind, one_shot):
    rng = np.random.default_rng(4)
    alpha, cheap, inner = rng.random((3, 80))
    alpha[:4], cheap[4:8] = [0.0, 1.0, 1.0 - 1e-9, 0.3], [0.0, 1.0, 0.99, 0.1]
    cost = 10 ** rng.uniform(-4, 0, 80)
    cost[8] = 0.0
    options = {"kind": kind, "oneShot": one_shot}
    script = """reply(data.rows.map(([alpha, cheap, inner, cost]) => kernel.effectiveBound(
      data.kind, alpha, cheap, cost, {inner, oneShot: data.oneShot, longest: 32})))"""
    rows = np.stack([alpha, cheap, inner, cost], 1).tolist()
    found = node(imports("kernel") + script, {**options, "rows": rows})
    want = effective_bound_details(
        kind, alpha, cheap, cost, alpha_inner=inner, one_shot=one_shot, max_length=32
    )
    costs = [one["cost"] for one in found]
    np.testing.assert_allclose(costs, want.cost_d1, rtol=EXACT, atol=1e-13)
    np.testing.assert_allclose([one["ewif"] for one in found], want.ewif_alone, rtol=EXACT)
    np.testing.assert_array_equal([one["alone"] for one in found], want.length_alone)
    assert sum(one["cost"] > 0 for one in found) > 20


@needs_node
def test_the_published_curves_hold_in_the_page_too():
    """CAS-Spec, arXiv:2510.26843, Figures 1b, 1c: c_d2 = .01, inner rate = alpha_d2."""
    script = """reply(data.map(([kind, a, b]) =>
      kernel.effectiveBound(kind, a, b, 0.01, {longest: 4096}).cost))"""
    cases = [("vertical", 0.9, 0.5), ("horizontal", 0.6, 0.5), ("horizontal", 0.9, 0.5)]
    found = node(imports("kernel") + script, cases)
    np.testing.assert_allclose(found, [0.517, 0.113, 0.428], atol=6e-4)


@needs_node
def test_settings_are_those_of_the_library_word_for_word():
    names = ["target", "Qwen/Qwen3-0.6B", "it's \N{SNOWMAN} small", "lookup"]
    cases = []
    for state in states(40, seed=5):
        state = {**state, "names": names, "tables": DEFAULT["tables"], "longest": 8}
        cases.append({"state": state, "engines": list(ENGINES)})
    script = """reply(data.map(({state, engines}) => {
      const profile = plan.profileOf(state);
      const found = plan.plan(state);
      const singles = found.singles.map((one) => one.drafts);
      const {drafts} = found.best;
      return {drafts, singles, text: engines.map((engine) => settings.asText(
        settings.engineSettings(engine, drafts, singles, profile, state.names)))};
    }))"""
    kinds = set()
    for case, found in zip(cases, node(imports("plan", "settings") + script, cases), strict=True):
        profile, state = profile_of(case["state"]), case["state"]
        singles = [cascade_of(one, state) for one in found["singles"]]
        others = [Alternative.of(one, profile) for one in singles]
        plan = make_plan(profile, cascade_of(found["drafts"], state), others, {})
        kinds.add(plan.kind)
        for engine, text in zip(ENGINES, found["text"], strict=True):
            assert text == str(export(plan, engine))
    assert {"speculative", "vertical", "nested"} <= kinds


@needs_node
def test_break_evens_of_a_lone_draft_are_those_of_the_library():
    script = """reply(data.map((state) => {
      const {verdicts} = plan.plan(state);
      return verdicts.map(({pays, breakEven, anew}) => ({pays, breakEven, anew}));
    }))"""
    cases = [{**one, "on": [True, False, False], "longest": 12} for one in states(20, seed=9)]
    cases.append({**DEFAULT, "on": [True, False, False]})
    paid = 0
    for state, (found,) in zip(cases, node(imports("plan") + script, cases), strict=True):
        want = best_plan(state)
        if found["pays"]:
            paid += 1
            assert found["breakEven"] == pytest.approx(want.cost_break_even(1), rel=EXACT)
            anew = break_even_anew(want.profile, state["longest"])
            assert found["anew"] == pytest.approx(anew, rel=EXACT)
    assert paid > 5
    (both,) = node(imports("plan") + script, [DEFAULT])
    assert all("anew" not in verdict for verdict in both)


@needs_node
def test_the_page_starts_from_the_example_of_optimal_config():
    script = "reply([state.DEFAULT, plan.plan(state.DEFAULT).best.law.ewif])"
    start, ewif = node(imports("state", "plan") + script, None)
    assert start == DEFAULT
    assert round(ewif, 4) == 2.3531  # of its docstring


@needs_node
def test_the_python_code_of_a_state_finds_the_same_best_cascade(capsys):
    cases = states(25, seed=6)
    script = """reply(data.map((one) => [state.pythonCode(one), plan.plan(one).best.law.ewif]))"""
    for code, ewif in node(imports("state", "plan") + script, cases):
        room = {}
        exec(code, room)
        assert room["plan"].ewif == pytest.approx(ewif, rel=1e-6)  # the default tolerance
    capsys.readouterr()


@needs_node
def test_numbers_are_shortened_as_python_does():
    rng = np.random.default_rng(7)
    edges = [0.0, 1.0, 0.5, 1e-4, 9.9999e-5, 99999.0, 9999.5, 0.10005]
    values = [*edges, *(10 ** rng.uniform(-9, 9, 300))]
    found = node(imports("settings") + "reply(data.map((x) => settings.short(x)))", values)
    assert found == [f"{x:.4g}" for x in values]


@needs_node
def test_links_hold_the_whole_state():
    names = ["a,b&c=d#e", "%41 <b>", "\N{SNOWMAN}", "draft 3"]
    given = [DEFAULT, *({**one, "names": names} for one in states(40, seed=9))]
    script = "reply(data.map((one) => state.fromHash(state.toHash(one))))"
    assert node(imports("state") + script, given) == given


BAD_LINKS = [
    ("#a=NaN,1,1,1,1,1", "Acceptance rates (a) must be a number from 0 to 1, got NaN."),
    ("#a=.5,1.2,1,1,1,1", "Acceptance rates (a) must be a number from 0 to 1, got 1.2."),
    ("#a=.5", "Acceptance rates (a) must be 6 numbers, got 1."),
    ("#a=,,,,,", "Acceptance rates (a) must be a number from 0 to 1, got NaN."),
    ("#c=1,Infinity,1", "Costs (c) must be a number from 0 to 10, got Infinity."),
    ("#c=-1,0,0", "Costs (c) must be a number from 0 to 10, got -1."),
    ("#on=12", 'Drafts in use (on) must be 3 of the digits 0 and 1, got "12".'),
    ("#L=3.5", "Longest draft (L) must be a whole number from 1 to 64, got 3.5."),
    ("#L=1e9", "Longest draft (L) must be a whole number from 1 to 64, got 1000000000."),
    ("#V0=2,3", "Measured verification cost (V0) must start with 1, the cost of one position"),
    ("#V1=1,x", "Measured verification cost (V1) must be positive numbers such as 1, 1.4, 1.5"),
    ("#V2=" + ",".join(["1"] * 600), "(V2) must have at most 512 values, got 600."),
    ("#pair=11", 'The pair of the charts (pair) must be 12, 13 or 23, got "11".'),
    ("#__proto__=1", 'The link holds the unknown field "__proto__".'),
    ("#<script>alert(1)</script>=1", 'holds the unknown field "<script>alert(1)</script>".'),
    ("#depth=" + "9" * 400, "Depth of reviews (depth) must be a whole number from 0 to 2, got "),
]


@needs_node
def test_a_bad_link_is_refused_in_one_sentence():
    script = """reply(data.map((hash) => {
      try { state.fromHash(hash); return "accepted"; } catch (error) { return error.message; }
    }))"""
    found = node(imports("state") + script, [hash_ for hash_, _ in BAD_LINKS])
    for (hash_, message), said in zip(BAD_LINKS, found, strict=True):
        assert message in said, hash_
        assert len(said) < 170
        assert "\n" not in said


def test_modules_share_one_scope_without_a_clash():
    names = {}
    for name in (*ENGINE, *PAGE):
        text = (FOLDER / name).read_text(encoding="utf-8")
        for found in re.findall(
            r"^(?:export )?(?:function\*?|const|let|class) (\w+)", text, re.MULTILINE
        ):
            assert found not in names, f"{found} stands in {names[found]} and in {name}"
            names[found] = name
        for listed in re.findall(r"^(?:export )?(?:const|let) \[([^\]]*)\] =", text, re.MULTILINE):
            for found in re.findall(r"\w+", listed):
                assert found not in names, f"{found} stands in {names[found]} and in {name}"
                names[found] = name


def test_the_page_is_one_file_that_names_no_server():
    page = explorer_page()
    assert page == explorer_page()
    assert not re.search(r"@(css|engine|uplot|page|start|policy|version)@", page)
    assert "default-src 'none'" in page
    assert "Copyright (c) 2022 Leon Sorokin" in page
    sources = re.findall(r"""(?:src|href)=["']([^"']*)""", page.split("<body>")[0])
    assert sources == ["data:,"]
    assert not re.search(r"<script[^>]+src=|@import|url\(", page)


def test_a_profile_fills_the_page():
    profile = Profile(
        [[1, 0.7, 0.2], [0, 1, 0.4], [0, 0, 1]], [0.3, 0.001], one_shot=[2],
        verify={0: [1.0, 1.4, 1.5], 1: lambda m: 1.0 + 0.01 * (m - 1)},
        names=["</script><b>", "mid", "lookup"],
    )  # fmt: skip
    page = explorer_page(profile, max_length=12)
    text = re.search(r'<script type="application/json" id="start">(.*?)</script>', page)[1]
    state = json.loads(text)
    assert (state["on"], state["oneShot"]) == ([True, True, False], [False, True, False])
    assert (state["alphas"], state["costs"]) == ([0.7, 0.2, 0, 0.4, 0, 0], [0.3, 0.001, 0])
    assert (state["tables"]["0"], state["tables"]["1"][:2]) == ([1.0, 1.4, 1.5], [1.0, 1.01])
    assert (state["longest"], state["names"][0]) == (12, "</script><b>")


def call(arguments, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    status = 0
    try:
        cscalc.cli.main()
    except SystemExit as exit_:
        status = exit_.code or 0
    out = capsys.readouterr()
    return status, out.out, out.err


def test_the_command_writes_the_page_and_opens_it(tmp_path, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("webbrowser.open", lambda address: asked.append(address) or True)
    page = tmp_path / "page.html"
    rates = ["--alphas", ".8,.3", "--costs", ".1,.001", "--one-shot", "2"]
    status, out, err = call(["explore", "--out", page, *rates], capsys, monkeypatch)
    assert (status, asked) == (0, [page.as_uri()])
    assert json.loads(out) == {"output": str(page), "bytes": page.stat().st_size, "opened": True}
    assert err == f"written: {page}\n"
    status, out, err = call(["explore", "--no-open", "-o", page], capsys, monkeypatch)
    assert (status, len(asked)) == (0, 1)
    assert json.loads(out)["opened"] is False
    assert "open it in a browser" in err
    assert page.read_text(encoding="utf-8") == explorer_page()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "nowhere/page.html"], "there is no folder nowhere"),
        (["--max-length", "0"], "max_length must be >= 1, got 0"),
        (["--max-length", "65"], "max_length must be <= 64 in the explorer, got 65"),
        (["--alphas", ".8"], "give --profile, or both --alphas and --costs"),
        (["--alphas", ".8", "--costs", "11"], "costs must be <= 10 in the explorer, got 11"),
        (
            ["--alphas", ".8,.7,.6,.5", "--costs", ".4,.3,.2,.1"],
            "the explorer shows 1 to 3 drafts, but the profile has 4",
        ),
    ],
)
def test_bad_input_is_one_sentence(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(["explore", "--no-open", *arguments], capsys, monkeypatch)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_what_the_page_cannot_show_is_refused(tmp_path):
    with pytest.raises(TypeError, match="profile must be a Profile, got 3"):
        explorer_page(3)
    with pytest.raises(ValueError, match="shows 1 to 3 drafts, but the profile has 0"):
        explorer_page(Profile([], []))
    markov = Markov([0.9], [0.5], to_easy=0.1, to_hard=0.1)
    bent = Profile([0.8], [0.1], acceptance=markov)
    with pytest.raises(ValueError, match="independent acceptance, but the profile's is markov"):
        write_explorer(tmp_path / "page.html", bent)
    assert list(tmp_path.iterdir()) == []
