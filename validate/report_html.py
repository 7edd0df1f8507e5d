"""The report as one HTML page that needs nothing else: no scripts, no files, no network."""

from collections.abc import Sequence
from html import escape as esc

from cscalc.cascade import Cascade, Draft, Segment
from cscalc.plan import Plan
from validate import report_pictures as pictures
from validate import report_words as words
from validate.gap import QUANTITIES, Estimate, Group
from validate.report import Report
from validate.report_page import chip, figure, glossary, number, page, paragraph, section, shape
from validate.report_page import table as table_of

MOST_TOKENS = 20  # little squares drawn for a draft
MARKER_SHAPES = {
    "o": '<circle cx="10" cy="6" r="4"/>',
    "s": '<rect x="6.5" y="2.5" width="7" height="7"/>',
    "^": '<path d="M10 1.5 14.5 10H5.5Z"/>',
    "D": '<path d="M10 1 15 6 10 11 5 6Z"/>',
    "v": '<path d="M10 10.5 14.5 2H5.5Z"/>',
    "P": '<path d="M8 2h4v2h2v4h-2v2H8V8H6V4h2Z"/>',
}


def render_html(report: Report, plan: Plan | None = None) -> str:
    """Return the report as one self-contained HTML page.

    Parameters
    ----------
    report : Report
        What was predicted, simulated and measured.
    plan : Plan, optional
        The plan that chose the cascade: adds why it was chosen and what it beat.

    Returns
    -------
    str
        A whole page, readable on a phone, on paper, in light and dark; the same report
        gives the same text. Write it with `cscalc._files.write_text`.
    """
    parts = [_head(report), _cascade(report), _side_by_side(report), _cycle(report)]
    parts += [_tasks(report), _leftovers(report), _curves(report)]
    if plan is not None:
        parts.append(_plan(report, plan))
    parts.append(_settings(report))
    return page(words.title(report), "".join(parts))


def _head(report: Report) -> str:
    tiles = "".join(_tile(group) for group in report.groups)
    same = words.lossless_sentence(report)
    shown = words.notation(report.cascade, report.names)
    return (
        '<header><p class="over">Predicted, simulated and measured</p>'
        f"<h1>{esc(words.title(report))}</h1>{paragraph(shown, 'notation')}"
        f'<div class="tiles">{tiles}</div>{paragraph(same) if same else ""}'
        f"{''.join(paragraph(f'Note: {note}') for note in report.notes)}</header>\n"
    )


def _tile(group: Group) -> str:
    speed = group.measured["speedup"]
    said = f"times plain decoding's speed{words.interval(speed, 2)}: {words.verdict(group)}"
    where = f"Measured on {words.group_title(group)}."
    return (
        f'<div class="tile"><p class="big">{speed.value:.2f}</p>{paragraph(said)}'
        f"{paragraph(where, 'faint')}</div>"
    )


def _cascade(report: Report) -> str:
    steps = words.steps(report.cascade, report.names)
    lines = "".join(f"<li>{esc(step)}</li>" for step in steps)
    body = diagram(report.cascade, report.names)
    if not report.cascade.drafts:
        return section("Who drafts, who reviews", body, f"No draft is used: {steps[0]}")
    return section(
        "Who drafts, who reviews",
        f"{body}{paragraph('In one cycle:')}<ol>{lines}</ol>",
        "The target checks what the drafts propose, so its text stays exactly its own; what "
        "is won is time.",
    )


def diagram(cascade: Cascade, names: Sequence[str]) -> str:
    """Boxes from left to right: drafts, reviews around their drafts, the target."""
    most = cascade.max_length
    does = f"verifies up to {most} in one pass, adds 1" if most else "writes 1 token a pass"
    target = _box(0, names, does, _squares(1, pictures.model_colour(0)), kind="target")
    boxes = [_segment(segment, names) for segment in cascade.drafts]
    return f'<div class="flow">{ARROW.join([*boxes, target])}</div>'


ARROW = '<span class="arrow" aria-hidden="true">→</span>'


def _segment(segment: Segment, names: Sequence[str]) -> str:
    often = words.repeats(segment)
    colour = pictures.model_colour(segment.model)
    if isinstance(segment, Draft):
        does = f"proposes {words.counted(segment.length, 'token')}"
        squares = _squares(segment.length, colour)
        return _box(segment.model, names, does, squares, often=often)
    inner = ARROW.join(_segment(one, names) for one in segment.drafts)
    own = _box(segment.model, names, "reviews, adds 1", _squares(1, colour))
    loop = f'<p class="often">↻ {esc(often)}</p>' if often else ""
    return f'<div class="review"><div class="flow">{inner}{ARROW}{own}</div>{loop}</div>'


def _box(
    model: int, names: Sequence[str], does: str, squares: str, *, kind: str = "", often: str = ""
) -> str:
    loop = f'<p class="often">↻ {esc(often)}</p>' if often else ""
    return (
        f'<div class="box {kind}" style="border-color:{pictures.model_colour(model)}">'
        f"<b>{esc(names[model])}</b>{paragraph(does)}{squares}{loop}</div>"
    )


def _squares(count: int, colour: str) -> str:
    shown = min(count, MOST_TOKENS)
    rects = "".join(f'<rect x="{9 * i}" width="7" height="7" rx="1"/>' for i in range(shown))
    more = "…" if count > shown else ""
    return (
        f'<svg class="squares" width="{9 * shown}" height="7" fill="{colour}" '
        f'aria-hidden="true">{rects}</svg>{more}'
    )


def _side_by_side(report: Report) -> str:
    tables = "".join(_group(group) for group in report.groups)
    columns = glossary(words.COLUMNS)
    rows = glossary({QUANTITIES[name]: text for name, text in words.ROWS.items()})
    return section(
        "Predicted, simulated, measured",
        f'{tables}<div class="glossary"><div><h3>Columns</h3>{columns}</div>'
        f"<div><h3>Rows</h3>{rows}</div></div>{paragraph(words.INTERVALS, 'faint')}",
    )


def _group(group: Group) -> str:
    rows = []
    for quantity, label in QUANTITIES.items():
        parts = (group.pooled, group.own, group.simulated, group.measured)
        note = words.agreement(group, quantity)
        gap = words.percent(1.0 + group.gap(quantity)) + (f"<small>{note}</small>" if note else "")
        rows.append([esc(label), *(_estimate(part[quantity]) for part in parts), gap])
    title = words.group_title(group)
    table = table_of(["", *words.COLUMNS], rows, kind="cards main")
    said = paragraph(words.gap_sentence(group))
    return f"<h3>{esc(title[0].upper() + title[1:])}</h3>{table}{said}"


def _estimate(estimate: Estimate) -> str:
    spread = words.interval(estimate).strip()
    return f"{estimate.value:.3f}" + (f"<small>{spread}</small>" if spread else "")


def _cycle(report: Report) -> str:
    sides = (report.cycle["predicted"], report.cycle["measured"])
    parts = list(dict.fromkeys([*sides[0], *sides[1]]))
    rows = [
        [chip(pictures.part_colour(report, part)) + esc(part),
         *(f"{side.get(part, 0.0):.4f}" for side in sides)]
        for part in parts
    ]  # fmt: skip
    rows.append(["<b>all</b>", *(f"<b>{sum(side.values()):.4f}</b>" for side in sides)])
    return section(
        "Where the time of a cycle goes",
        figure(pictures.cycle_picture(report))
        + table_of(["part of a cycle", "predicted", "measured"], rows),
        "In the time that plain decoding takes for one token. A cycle pays off if it adds more "
        "tokens than it costs.",
    )


def _tasks(report: Report) -> str:
    if not report.tasks:
        return ""
    drafts = [f"accepted of {words.short(name, 16)}" for name in report.names[1:]]
    head = ["task", "prompts", *drafts, "predicted", "measured", "all prompts", "speed-up"]
    rows = [
        [esc(task["task"]), str(task["prompts"]),
         *(number(rate, 2) for rate in task["alphas"] or [None] * len(drafts)),
         number(task["own_tokens_per_cycle"]), number(task["same_tokens_per_cycle"]),
         number(task["tokens_per_cycle"]), number(task["speedup"])]
        for task in report.tasks
    ]  # fmt: skip
    chips = [
        (
            shape(MARKER_SHAPES["o"], "none", "currentColor"),
            "predicted with the prompts' own rates",
        ),
        (shape(MARKER_SHAPES["D"], pictures.MEASURED), "measured on the same prompts"),
    ]
    if any(task["own_tokens_per_cycle"] is None for task in report.tasks):
        chips.append(("", "a task with no prompt measured for its rates has no prediction"))
    return section(
        "Acceptance differs between tasks",
        figure(pictures.tasks_picture(report), chips) + table_of(head, rows, kind="cards wide")
        + paragraph("“Accepted of” a draft is its acceptance rate by the target; “predicted” and "
             "“measured” are tokens per cycle on the prompts that the rates come from, “all "
             f"prompts” counts the held-out ones too. {words.ALPHA}", "faint"),
        words.tasks_sentence(report),
    )  # fmt: skip


def _leftovers(report: Report) -> str:
    group = report.groups[0]
    start, end = group.pooled["speedup"].value, group.measured["speedup"].value
    rows = [["<b>predicted, one rate</b>", "", f"<b>{start:.3f}</b>", ""]]
    for one in words.leftovers(report):
        change = f"&times; {one.factor:.3f}<small>{words.percent(one.factor)}</small>"
        rows.append([esc(one.term), change, f"{one.speed:.3f}", esc(one.words)])
    rows.append(["<b>measured</b>", "", f"<b>{end:.3f}</b>", ""])
    head = ["term", "factor", "speed-up after it", "what it is"]
    return section(
        "What is left over",
        table_of(head, rows, kind="cards words")
        + paragraph(f"Prompts: {words.group_title(group)}.", "faint"),
        "Each factor multiplies the speed-up, from the prediction down to the measurement. "
        + words.leftover_sentence(report),
    )


def _curves(report: Report) -> str:
    single = report.curves["single"]
    rows, chips = [], []
    for name, values in single.items():
        model = report.names.index(name)
        colour = pictures.model_colour(model)
        key = shape(MARKER_SHAPES[pictures.marker(model)], colour, line=colour)
        chips.append((key, f"{name} alone"))
        best = max(range(len(values)), key=values.__getitem__)
        rows.append([key + esc(name), str(best + 1), f"{values[best]:.3f}"])
    chosen = report.curves["chosen"]
    rows.append(["<b>★ chosen cascade</b>", f"{chosen['length']:.3g}", f"{chosen['ewif']:.3f}"])
    chips.append(("★ ", "the chosen cascade"))
    return section(
        "How long to draft",
        figure(pictures.curves_picture(report), chips)
        + table_of(["draft", "best draft length", "EWIF"], rows),
        "EWIF is the predicted speed-up, here with one rate for all prompts. A longer draft can "
        "bring more tokens per cycle, but each further token is less likely to be accepted and "
        f"still has to be paid. {words.rivals_sentence(report)}",
    )


def _plan(report: Report, plan: Plan) -> str:
    names = plan.profile.names
    explained = "".join(paragraph(line) for line in plan.explain().splitlines())
    other = plan.cascade != report.cascade
    note = "This report ran another cascade than the plan's choice, which is below."
    rows = [
        [_mark(one.cascade == report.cascade, str(i)),
         esc(words.notation(one.cascade, names)), one.kind, f"{one.ewif:.4f}",
         f"{one.tokens_per_cycle:.3f}", f"{one.cycle_cost:.3f}"]
        for i, one in enumerate(plan.alternatives, 1)
    ]  # fmt: skip
    drafts = [
        [esc(name), number(float(plan.profile.alphas[0, model]), 3),
         f"{plan.profile.cost(model):.4g}"]
        for model, name in enumerate(names) if model
    ]  # fmt: skip
    limits = words.limits(plan)
    return section(
        "Why this cascade, and what it beat",
        (paragraph(note, "note") if other else "")
        + f'<div class="explain">{explained}</div>'
        + table_of(["", "cascade", "kind", "EWIF", "tokens per cycle", "cost of a cycle"], rows,
                 kind="cards ranked")
        + paragraph("★ ran here. The best cascade of each kind and set of models, predicted with "
                    "one rate for all prompts. “a:3” means that a proposes 3 tokens; “[a reviews "
                    "b:3]” that a reviews them and adds one; “2 x”, two times; “until 6”, until "
                    "so many tokens are there; “+”, then.", "faint")
        + (paragraph(f"Searched within: {limits}.", "faint") if limits else "")
        + "<h3>What the choice rests on</h3>"
        + table_of(["draft", "acceptance rate by the target", "cost of a pass, in target passes"],
                 drafts),
    )  # fmt: skip


def _mark(ran: bool, text: str) -> str:
    return f"<b>{text} ★</b>" if ran else text


def _settings(report: Report) -> str:
    rows = [[esc(name), esc(value)] for name, value in words.settings(report)]
    return section("Settings, versions, machine", table_of(["name", "value"], rows, kind="plain"))
