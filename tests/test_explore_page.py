"""The explorer page in a real browser: its numbers, its keyboard, its links, its silence."""

import json
import shutil
from functools import cache

import numpy as np
import pytest

pytest.importorskip("playwright")

from playwright.sync_api import sync_playwright

from cscalc.explore import write_explorer
from cscalc.export import ENGINES, export
from cscalc.optimize import optimal_config
from cscalc.profile import Profile
from cscalc.theory.effective import effective_bound
from cscalc.theory.law import cycle_law
from cscalc.theory.speculative import speculative_ewif
from tests.explorer import DEFAULT, best_plan, cascade_of, models_of, profile_of, states

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
     if (path := shutil.which(name))),
    None,
)  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
EXACT = 1e-9  # relative
START = {**DEFAULT, "longest": 8}  # of the page in these tests: a quick search
DONE = "html[data-search='done']"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "page.html"
    write_explorer(path, max_length=START["longest"])
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def visit(browser, address):
    """Open the page; at the end it must have asked nothing and complained of nothing."""
    trouble, contexts = [], []

    def asked(url):
        if url.split("#")[0] != address and not url.startswith("blob:"):
            trouble.append(f"request: {url}")

    def open_page(link="", script="", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (trouble.append("dialog"), dialog.dismiss()))
        page.on("request", lambda request: asked(request.url))
        page.add_init_script(script)
        page.goto(address + link)
        if not script:
            settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


@cache
def ewif_at_start():
    return f"{best_plan(START).ewif:.4g}"


def settle(page):
    page.wait_for_selector(DONE, state="attached", timeout=60_000)


def link_of(state):
    fields = {
        "on": "".join("01"[on] for on in state["on"]),
        "a": ",".join(map(repr, state["alphas"])),
        "c": ",".join(map(repr, state["costs"])),
        "shot": "".join("01"[one] for one in state["oneShot"]),
        "step": state["step"], "slope": state["slope"], "dv": "01"[state["draftsPay"]],
        "L": state["longest"], "depth": state["depth"], "pair": "".join(map(str, state["pair"])),
    }  # fmt: skip
    fields |= {f"V{m}": ",".join(map(repr, v)) for m, v in state["tables"].items() if v}
    return "#" + "&".join(f"{key}={value}" for key, value in fields.items())


def test_200_settings_agree_with_the_library(visit):
    page = visit()
    cases = states(200, seed=20)
    found = page.evaluate(
        """(cases) => cases.map((state) => {
          const profile = profileOf(state);
          const found = plan(state);
          return {curves: curves(state, profile, 12), bounds: bounds(state, profile, 11),
                  drafts: found.best.drafts, law: found.best.law, proved: found.proved};
        })""",
        cases,
    )
    for state, one in zip(cases, found, strict=True):
        profile, want, law = profile_of(state), best_plan(state), one["law"]
        assert one["proved"]
        assert law["ewif"] == pytest.approx(want.ewif, rel=EXACT), (state, one["drafts"])
        exact = cycle_law(cascade_of(one["drafts"], state), profile)
        assert law["ewif"] == pytest.approx(exact.ewif, rel=EXACT)
        assert law["tokens"] == pytest.approx(exact.mean, rel=EXACT)
        assert law["cost"] == pytest.approx(exact.cost, rel=EXACT)
        check_curves(state, profile, one["curves"])
        check_bounds(state, profile, one["bounds"])


def check_curves(state, profile, curves):
    lengths = np.array(curves["lengths"])
    passes = profile.verify_costs(0, int(lengths.max()) + 1)[lengths + 1]
    for i, one in enumerate(curves["alone"], start=1):
        assert one["model"] == models_of(state)[i - 1]
        drafted = np.minimum(lengths, 1) if i in profile.one_shot else lengths
        tokens = speculative_ewif(profile.alphas[0, i], 0.0, lengths)
        want = tokens / (passes + profile.cost(i) * drafted)
        np.testing.assert_allclose(one["ewif"], want, rtol=EXACT)
    for name in ("row", "review"):
        assert (np.diff(curves.get(name, [1.0])) >= 0.0).all()  # at most so many tokens


def check_bounds(state, profile, bounds):
    on = models_of(state)
    if len(on) < 2:
        assert bounds is None
        return
    pair = state["pair"] if set(state["pair"]) <= set(on) else [on[0], on[-1]]
    assert [bounds["dear"], bounds["cheap"]] == pair
    dear, cheap = on.index(pair[0]) + 1, on.index(pair[1]) + 1
    for kind in ("vertical", "horizontal"):
        want = effective_bound(
            kind, [*bounds["rates"], profile.alphas[0, dear]], profile.alphas[0, cheap],
            profile.cost(cheap), alpha_inner=profile.alphas[dear, cheap],
            one_shot=cheap in profile.one_shot, max_length=state["longest"],
        )  # fmt: skip
        found = [*bounds[kind], bounds["here"][kind]["cost"]]
        np.testing.assert_allclose(found, want, rtol=EXACT, atol=1e-13)


@pytest.mark.parametrize("state", [START, *states(5, seed=21)], ids=lambda one: link_of(one)[:20])
def test_what_is_shown_is_what_the_library_says(visit, state):
    page = visit(link_of(state))
    want = best_plan(state)
    shown = {name: page.locator(f"#{name}").inner_text() for name in ("ewif", "tokens", "cost")}
    assert shown["ewif"] == f"{want.ewif:.4g}"
    assert float(shown["tokens"]) / float(shown["cost"]) == pytest.approx(want.ewif, rel=2e-3)
    assert "Proved" in page.locator("#proof").inner_text()
    assert page.locator("#beat tr").first.locator("td").first.inner_text() == f"{want.ewif:.4f}"
    segments = page.locator("#diagram text").all_text_contents()
    assert segments[0].startswith("target ")
    assert page.locator("#problem").is_hidden()


def test_settings_to_paste_are_those_of_the_library(visit):
    state = {**DEFAULT, "on": [True, False, True], "longest": 12}
    page = visit(link_of(state))
    plan = optimal_config(profile_of(state), max_length=12, tolerance=1e-9)
    for i, engine in enumerate(ENGINES):
        page.locator(f"#engine{i}").check(force=True)
        want = export(plan, engine)
        assert page.locator("#settings").inner_text() == want.text
        notes = page.locator("#settings-notes li").all_inner_texts()
        assert len(notes) == len(want.notes)
        assert notes[-1] == want.notes[-1]


def test_until_the_search_answers_the_page_says_that_it_searches(visit):
    silent = "window.Worker = class { postMessage() {} terminate() {} }"
    page = visit(link_of({**DEFAULT, "on": [True, False, True]}), script=silent)
    page.wait_for_selector('html[data-search="running"]', state="attached")
    assert page.locator("#ewif").inner_text() == "\N{EN DASH}"
    for name in ("cascade-text", "shares-text", "settings"):
        assert page.locator(f"#{name}").inner_text() == "searching …"
    assert page.locator("#diagram").is_hidden()
    assert "no draft pays" not in page.locator("main").inner_text()
    assert "Plain decoding" not in page.locator("#settings-notes").inner_text()


def test_a_draft_that_is_too_dear_still_ends_in_plain_decoding(visit):
    page = visit(link_of({**DEFAULT, "on": [True, False, False], "costs": [5.0, 0.05, 0.0005]}))
    assert page.locator("#cascade-text").inner_text() == "plain decoding: no draft pays"
    assert page.locator("#ewif").inner_text() == "1"


def test_a_verdict_says_which_lengths_its_cost_is_for(visit):
    page = visit(link_of({**DEFAULT, "on": [True, False, False]}))
    said = page.locator("#verdicts li").inner_text()
    assert "with these lengths unchanged, it pays up to a cost of" in said
    assert f"with the length chosen anew, up to {DEFAULT['alphas'][0]:.4g}." in said


def test_the_keyboard_is_enough(visit):
    page = visit()
    seen = []
    for _ in range(70):
        page.keyboard.press("Tab")
        now = page.evaluate(
            """() => {
              const one = document.activeElement;
              const seen = one.matches('.choice input') ? one.nextElementSibling : one;
              const style = getComputedStyle(seen);
              const label = one.labels?.[0]?.textContent || one.getAttribute('aria-label')
                || one.textContent;
              return {id: one.id, tag: one.tagName, label: label.trim(),
                      outline: style.outlineStyle !== 'none' && style.outlineWidth !== '0px'};
            }"""
        )
        if now["tag"] == "BODY":
            break
        seen.append(now)
    assert all(one["outline"] for one in seen), [one for one in seen if not one["outline"]]
    assert all(one["label"] for one in seen)
    reached = {one["id"] for one in seen}
    assert {"a01", "a02", "a12", "a03", "a13", "a23", "cost1", "step", "slope"} <= reached
    assert {"on1", "shot3", "preset", "longest", "depth", "pair", "engine0", "link"} <= reached
    for slider in ("a01", "cost1", "step", "slope"):
        before = page.locator("#ewif").inner_text()
        page.locator(f"#{slider}").focus()
        for _ in range(2):
            page.keyboard.press("ArrowRight")
        settle(page)
        assert page.locator("#ewif").inner_text() != before, slider
    page.locator("#engine0").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#settings").inner_text().startswith("--speculative-config")


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_nothing_scrolls_sideways(visit, width):
    page = visit(viewport={"width": width, "height": 800}, has_touch=width < 700)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator("#name1").fill("a-very-long-name-of-a-checkpoint/without-any-space-in-it-at-all")
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_link_brings_the_state_back(visit):
    page = visit()
    page.locator("#a01-number").fill("0.7312")
    page.locator("#cost2-number").fill("0.031")
    page.locator("#on3").uncheck()
    page.locator("#name1").fill("Qwen/Qwen3-0.6B, <b>&#")
    page.locator("#step-number").fill("0.25")
    page.locator("#dv").check()
    page.locator("summary", has_text="Measured").click()
    page.locator("#table1").fill("1, 1.2; 1.3 1.4,1.5")
    page.wait_for_timeout(200)
    settle(page)
    link = page.locator("#link").input_value()
    assert link == page.url
    shown = ("#ewif", "#tokens", "#cost", "#cascade-text", "#beat", "#python", "#bounds-text")
    before = [page.locator(one).text_content() for one in shown]
    other = visit("#" + link.split("#")[1])
    assert other.locator("#problem").is_hidden()
    assert [other.locator(one).text_content() for one in shown] == before
    assert other.locator("#a01-number").input_value() == "0.7312"
    assert other.locator("#name1").input_value() == "Qwen/Qwen3-0.6B, <b>&#"
    assert not other.locator("#on3").is_checked()
    other.evaluate("location.hash = 'a=.5,.5,.5,.5,.5,.5'")
    other.wait_for_timeout(200)
    settle(other)
    assert other.locator("#a01-number").input_value() == "0.5"
    assert other.locator("#on3").is_checked()


@pytest.mark.parametrize(
    "link",
    [
        "#<script>alert(1)</script>",
        "#a=<img src=x onerror=alert(1)>",
        "#a=NaN,NaN,NaN,NaN,NaN,NaN",
        "#c=1e999,0,0",
        "#L=99999999",
        "#V0=1," + "1e308," * 40 + "1",
        "#__proto__=x&constructor=y",
        "#%",
        "#" + "a=1&" * 5000,
    ],
)
def test_a_hostile_link_does_no_harm(visit, link):
    page = visit(link)
    said = page.locator("#problem").inner_text()
    assert said.startswith("The link cannot be used, so the page starts as it was made: ")
    assert len(said) < 250
    assert page.locator("#ewif").inner_text() == ewif_at_start()
    assert page.evaluate("document.images.length") == 0


def test_a_hostile_name_is_only_text(visit):
    name = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    page = visit("#n1=" + name.replace("<", "%3C").replace("=", "%3D"))
    assert page.locator("#problem").is_hidden()
    assert page.evaluate("document.images.length") == 0
    assert "<img src=x" in page.locator("#verdicts").inner_text()
    assert page.evaluate("document.querySelectorAll('main script').length") == 0


def test_a_profile_with_a_hostile_name_starts_the_page(browser, tmp_path):
    write_explorer(tmp_path / "x.html", Profile([0.8], [0.1], names=["</script><i>", "<!--"]))
    page = browser.new_page()
    page.goto((tmp_path / "x.html").as_uri())
    settle(page)
    assert page.locator("#ewif").inner_text() == "2.47"
    assert page.locator("#diagram text").first.text_content().startswith("</script><i> verifies")
    page.close()


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("a01-number", "1.2", "target accepts must be a number from 0 to 1, got 1.2."),
        ("a01-number", "", "target accepts must be a number from 0 to 1, got NaN."),
        ("cost1-number", "-1", "cost must be a number from 0 to 10, got -1."),
        ("longest-number", "3.5", "longest draft must be a whole number from 1 to 64, got 3.5."),
        ("table0", "1.2, 1.3", "Measured cost, target, must start with 1"),
        ("table1", "1, wide", "Measured cost, draft 1, must be positive numbers"),
    ],
)
def test_a_bad_number_is_refused_in_one_sentence(visit, field, text, message):
    page = visit()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.locator(f"#{field}").fill(text)
    assert message in page.locator("#problem").inner_text()
    assert page.locator(f"#{field}").get_attribute("aria-invalid") == "true"
    assert page.locator("#ewif").inner_text() == ewif_at_start()  # the last good state stands
    page.locator("#a02-number").fill("0.5")
    assert page.locator("#problem").is_hidden()


@pytest.mark.parametrize(
    "link",
    [
        "#on=000",
        "#on=100",
        "#on=111&shot=111",
        "#V0=1",
        "#V0=1,1.5",
        "#L=1",
        "#depth=0",
        "#a=0,0,0,0,0,0",
        "#a=1,1,1,1,1,1&c=0,0,0&L=12",
        "#c=10,10,10",
    ],
)
def test_the_edges_show_no_error(visit, link):
    page = visit(link)
    assert page.locator("#problem").is_hidden()
    shown = page.locator("main").inner_text()
    assert "NaN" not in shown
    assert "undefined" not in shown
    assert "Infinity" not in shown
    assert float(page.locator("#ewif").inner_text()) >= 1.0


def test_every_control_and_example_works(visit):
    page = visit()
    for i in range(page.locator("#preset option").count() - 1):
        page.locator("#preset").select_option(str(i))
        page.wait_for_timeout(120)
        settle(page)
        assert float(page.locator("#ewif").inner_text()) > 1.0
    for box in ("shot1", "shot2", "shot3", "on1", "on2", "on3", "dv"):
        page.locator(f"#{box}").click()
        page.wait_for_timeout(120)
        settle(page)
    page.locator("#on1").check()
    page.locator("#pair").select_option("12")
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(120)
    settle(page)


def test_what_was_found_before_a_change_never_stands_in_the_way(visit):
    page = visit()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    steps = [("table0", "1, 1.1, 1.2, 1.3, 1.4, 1.5"), ("table0", "1, 1.1"), ("table1", "1"),
             ("table0", ""), ("longest-number", "2"), ("table1", "")]  # fmt: skip
    for field, text in steps:
        page.locator(f"#{field}").fill(text)
        page.wait_for_timeout(40)  # drawn at once, with the cascade that was best before
        page.wait_for_timeout(100)
        settle(page)
        assert "NaN" not in page.locator("main").inner_text()


def test_a_slider_is_felt_at_once(visit, record_property):
    """Prints how long one change takes to draw; the machine is shared, so it asserts little."""
    page = visit()
    page.locator("#a01").focus()
    taken = []
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(30)
        taken.append(float(page.evaluate("document.documentElement.dataset.ms")))
    record_property("milliseconds_to_draw", taken)
    print(json.dumps({"draw_ms_median": float(np.median(taken)), "worst": max(taken)}))  # noqa: T201
    settle(page)
