"""Profile, plan and report as tables for the terminal: 100 columns, and not broken at 80."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cscalc.cascade import Cascade, Review, Segment
from cscalc.plan import Plan
from cscalc.profile import Profile
from cscalc.stats import bootstrap_ratio
from validate import report_words as words
from validate.gap import QUANTITIES, Estimate, Group
from validate.report import Report
from validate.report_context import context_table
from validate.report_notes import profile_notes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

WIDTHS = (1, 2, 4, 8, 16, 32)  # positions at which the cost of a reviewing pass is shown
NAME = 20  # letters of a name in a column's header
LABELS = {"cycle_cost": "cost of a cycle", "speedup": "speed-up"}


def print_profile(profile: Profile, console: "Console") -> None:
    """Print acceptance rates, with intervals where prompts were measured, and costs."""
    columns = [
        "draft",
        *(f"accepted by\n{words.short(name, NAME)}" for name in _reviewers(profile)),
    ]
    table = _table([*columns, "cost of a pass"])
    for draft in range(1, profile.n_drafts + 1):
        rates = [
            _rate(profile, reviewer, draft) if reviewer < draft else ""
            for reviewer in _reviewers(profile).values()
        ]
        note = "\none pass a call" if draft in profile.one_shot else ""
        table.add_row(_text(profile.names[draft]), *rates, f"{profile.cost(draft):.4g}{note}")
    title = f"Acceptance rates and costs of {words.counted(profile.n_drafts, 'draft')}"
    _show(console, title, table)
    _note(console, f"{words.ALPHA} Costs are in target passes{_pass_seconds(profile)}.")
    if profile.verify:
        title = "Cost of a reviewing pass over so many positions, in one-position passes"
        _show(console, title, _verify(profile))
    if (by_context := context_table(profile)) is not None:
        _show(console, "The same by length of the context, in tokens", by_context)
    for note in profile_notes(profile):
        console.print(_text(f"Note: {note}", "bold"))


def print_plan(plan: Plan, console: "Console") -> None:
    """Print what was chosen, why, and what it beat."""
    names = plan.profile.names
    console.print()
    console.print(_tree(plan.cascade, names, f"Chosen: {words.title_of(plan.cascade, names)}"))
    console.print(_text(plan.explain()))
    head = ["EWIF", "tokens per cycle", "cost of a cycle", "kind", "cascade"]
    table = _table(head, left=2)
    for one in plan.alternatives:
        style = "bold" if one.cascade == plan.cascade else ""
        table.add_row(
            f"{one.ewif:.4f}", f"{one.tokens_per_cycle:.3f}", f"{one.cycle_cost:.3f}", one.kind,
            _text(words.notation(one.cascade, names)), style=style,
        )  # fmt: skip
    _show(console, "The best of each kind and set of models, predicted with one rate", table)
    if limits := words.limits(plan):
        _note(console, f"Searched within: {limits}.")


def print_report(report: Report, console: "Console") -> None:
    """Print prediction, simulation and measurement side by side, and what is left over."""
    console.print()
    console.print(_tree(report.cascade, report.names, words.title(report)))
    for group in report.groups:
        _show(console, words.group_title(group), _side_by_side(group))
    _note(console, f"{words.INTERVALS} in, outside: whether what was measured lies in the "
                   "predicted interval.")  # fmt: skip
    console.print()
    for group in report.groups:
        speed = group.measured["speedup"]
        console.print(_text(
            f"On {words.group_title(group)}: {speed.value:.2f} times plain decoding's speed"
            f"{words.interval(speed, 2)}, {words.verdict(group)}."
        ))  # fmt: skip
    if same := words.lossless_sentence(report):
        console.print(_text(same))
    for note in report.notes:
        console.print(_text(f"Note: {note}", "bold"))
    _show(console, "Where the time of a cycle goes, in plain tokens' time", _cycle(report))
    if report.tasks:
        title = "Tokens per cycle by task: own rates' prediction; measured on the same, on all"
        _show(console, title, _tasks(report))
        if said := words.tasks_sentence(report):
            console.print(_text(said))
    title = "What is left over: factors from the predicted to the measured speed-up"
    _show(console, title, _leftovers(report))
    console.print(_text(words.leftover_sentence(report)))


def _side_by_side(group: Group) -> "Table":
    head = ["", *(column.replace(", ", ",\n") for column in words.COLUMNS)]
    table = _table(head)
    for quantity, label in QUANTITIES.items():
        parts = (group.pooled, group.own, group.simulated, group.measured)
        cells = [_estimate(part[quantity]) for part in parts]
        gap = words.percent(1.0 + group.gap(quantity))
        note = words.agreement(group, quantity)
        for rest in (" the predicted interval", " prompts"):  # in, outside, too few
            note = note.removesuffix(rest)
        table.add_row(LABELS.get(quantity, label), *cells, f"{gap}\n{note}" if note else gap)
    return table


def _estimate(estimate: Estimate) -> str:
    return f"{estimate.value:.3f}\n{words.interval(estimate, 2).strip()}".strip()


def _cycle(report: Report) -> "Table":
    sides = [report.cycle[side] for side in ("predicted", "measured")]
    table = _table(["part", "predicted", "measured"])
    for part in dict.fromkeys([*sides[0], *sides[1]]):
        table.add_row(_text(part), *(f"{side.get(part, 0.0):.4f}" for side in sides))
    table.add_row("all", *(f"{sum(side.values()):.4f}" for side in sides), style="bold")
    return table


def _tasks(report: Report) -> "Table":
    drafts = [words.short(name, 12) for name in report.names[1:]]
    rates = [f"accepted\nof {name}" for name in drafts]
    table = _table(["task", *rates, "own", "same", "all", "speed-up"])
    for task in report.tasks:
        alphas = task["alphas"] or [None] * len(drafts)
        numbers = [task[name] for name in ("own_tokens_per_cycle", "same_tokens_per_cycle",
                                           "tokens_per_cycle", "speedup")]  # fmt: skip
        table.add_row(
            _text(task["task"]), *(_number(alpha, 2) for alpha in alphas),
            *(_number(value, 2) for value in numbers),
        )  # fmt: skip
    return table


def _leftovers(report: Report) -> "Table":
    group = report.groups[0]
    table = _table(["term", "factor", "speed-up after it"])
    table.add_row("predicted, one rate", "", f"{group.pooled['speedup'].value:.3f}", style="bold")
    for one in words.leftovers(report):
        table.add_row(_text(one.term), f"{one.factor:.3f}", f"{one.speed:.3f}")
    table.add_row("measured", "", f"{group.measured['speedup'].value:.3f}", style="bold")
    return table


def _tree(cascade: Cascade, names: Sequence[str], title: str) -> "Tree":
    """The target at the root, what it verifies below it."""
    from rich.tree import Tree

    root = Tree(_text(title, "bold"))
    most = cascade.max_length
    does = f"verifies up to {most} in one pass, adds 1" if most else "writes 1 token a pass"
    _grow(root.add(_text(f"{names[0]} {does}")), cascade.drafts, names)
    return root


def _grow(tree: "Tree", drafts: tuple[Segment, ...], names: Sequence[str]) -> None:
    for segment in drafts:
        often = words.repeats(segment)
        tail = f", {often}" if often else ""
        if isinstance(segment, Review):
            branch = tree.add(_text(f"{names[segment.model]} reviews, adds 1{tail}"))
            _grow(branch, segment.drafts, names)
        else:
            length = words.counted(segment.length, "token")
            tree.add(_text(f"{names[segment.model]} proposes {length}{tail}"))


def _reviewers(profile: Profile) -> dict[str, int]:
    able = (m for m in range(profile.n_drafts) if m not in profile.one_shot)
    return {profile.names[model]: model for model in able}


def _rate(profile: Profile, reviewer: int, draft: int) -> str:
    rate = f"{profile.alphas[reviewer, draft]:.3f}"
    prompts = (profile.measurement or {}).get("prompts", [])
    found_in = (prompt.get("overlap", {}).get(f"{reviewer},{draft}") for prompt in prompts)
    overlaps = [values for values in found_in if values]
    if len(overlaps) < 2:
        return rate
    found = bootstrap_ratio(
        [sum(values) for values in overlaps], [len(values) for values in overlaps],
        rng=np.random.default_rng([reviewer, draft]), n_resamples=1000,
    )  # fmt: skip
    return f"{rate}\n[{found.interval.low:.2f},\u00a0{found.interval.high:.2f}]"


def _pass_seconds(profile: Profile) -> str:
    seconds = (profile.measurement or {}).get("pass_seconds")
    return "" if seconds is None else f"; one target pass took {1000.0 * seconds:.3g} ms"


def _verify(profile: Profile) -> "Table":
    most = max(profile.max_positions(model) or WIDTHS[-1] for model in profile.verify)
    widths = [width for width in WIDTHS if width <= most]
    table = _table(["reviewer", *map(str, widths)])
    for model in profile.verify:
        known = profile.max_positions(model) or most
        costs = profile.verify_costs(model, known)
        cells = [f"{costs[width]:.2f}" if width <= known else "" for width in widths]
        table.add_row(_text(profile.names[model]), *cells)
    return table


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table(columns: Sequence[str], *, left: int = 0) -> "Table":
    """Table of numbers, set right; words, set left, in its first or its last `left` columns."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place, column in enumerate(columns):
        of_words = place >= len(columns) - left if left else place == 0
        table.add_column(_text(column), overflow="fold", justify="left" if of_words else "right")
    return table


def _show(console: "Console", title: str, table: "Table") -> None:
    console.print()
    console.print(_text(title, "bold"))
    console.print(table)


def _note(console: "Console", text: str) -> None:
    console.print(_text(text, "dim"))


def _text(text: str, style: str = "") -> "Text":
    """Text as it is: names may hold brackets, which rich would read as markup."""
    from rich.text import Text

    return Text(text, style=style)
