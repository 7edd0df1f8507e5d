"""``python -m validate diagnose``: which term lost the speed-up."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from validate.cli_options import console_of

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from validate.diagnosis import Diagnosis


def diagnose(
    profile: Annotated[Path, typer.Argument(help="profile.json of `measure`.")],
    run: Annotated[Path, typer.Argument(help="report.json of `report`, or run.jsonl of `run`.")],
) -> None:
    """Say which term lost the speed-up, with its numbers; JSON on stdout."""
    from validate.diagnosis import diagnose as find
    from validate.report_files import read_profile

    measured = read_profile(profile)
    found = find(measured, _report(run, measured))
    console = console_of()
    console.print()
    console.print(table_of(found))
    console.print(drafts_of(found))
    console.print()
    console.print(found.verdict, markup=False, highlight=False, style="bold")
    typer.echo(json.dumps(found.to_dict(), indent=1))


def _report(path: Path, profile: Any) -> Any:
    """The report in a file, or the report of the run in it."""
    from cscalc.cascade import Cascade
    from validate.report import Report
    from validate.report import report as make_report
    from validate.report_files import read_run

    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the path")
    if path.suffix != ".jsonl":
        return Report.load(path)
    settings, records = read_run(path)
    cascade = Cascade.from_dict(settings["cascade"])
    return make_report(cascade, profile, records, settings=settings)


def table_of(found: "Diagnosis") -> "Table":
    """One row a term: what would be gained without it, what was found, what helps."""
    table = _table("What each term costs", "without it", "tokens/s", "found")
    shown = [term for term in found.terms if abs(term.factor - 1.0) >= 1e-3]
    for title, avoidable in (("LOSSES", True), ("PRICE OF DRAFTING AND VERIFYING", False)):
        part = [term for term in shown if term.avoidable is avoidable]
        if part:
            table.add_row("", "", title)
        for term in part:
            gain = term.tokens_per_second
            worth = "" if gain is None else f"{gain:+.1f}"
            change = f"{100 * (term.factor - 1.0):+.1f} %"
            said = f"{term.name}: {term.sentence} Helps: {term.remedy}."
            table.add_row(change, worth, _plain(said if term.factor > 1.0 else
                                                f"{term.name}: {term.sentence}"))  # fmt: skip
    table.caption = "Each alone, all else as measured: effects overlap and do not add up."
    return table


def drafts_of(found: "Diagnosis") -> "Table":
    """One row a draft: its rate and cost beside those at which it starts to pay."""
    table = _table(
        "When a draft pays", "draft", "rate", "pays from", "cost, target passes", "pays up to"
    )
    for draft in found.drafts:
        rate, cost = draft["break_even_alpha"], draft["break_even_cost"]
        rate_from = "never" if rate is None else f"{rate:.3f}"
        cost_to = "never" if cost is None else f"{cost:.3g}"
        table.add_row(
            _plain(draft["name"]), f"{draft['alpha']:.3f}", rate_from, f"{draft['cost']:.3g}",
            cost_to,
        )  # fmt: skip
    return table


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.title_justify = table.caption_justify = "left"
    for column in columns:
        words = column in ("found", "draft")
        table.add_column(column, justify="left" if words else "right", overflow="fold")
    return table


def _plain(text: str) -> "Text":
    """Text as it is: names may hold brackets, which rich would read as markup."""
    from rich.text import Text

    return Text(text)
