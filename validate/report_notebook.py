"""What a notebook shows of a report; the page with pictures is `validate.report_html`."""

from cscalc._html import paragraphs, scrolled, table
from cscalc.diagram import cascade_svg
from validate import report_words as words
from validate.report import Report


def report_notebook(report: Report) -> str:
    """Diagram, verdicts, the table side by side, and the terms of the gap."""
    drawn = scrolled(cascade_svg(report.cascade, report.names))
    verdicts = []
    for group in report.groups:
        speed = group.measured["speedup"]
        verdicts.append(
            f"On {words.group_title(group)}: {speed.value:.2f} times plain decoding's speed"
            f"{words.interval(speed, 2)}, {words.verdict(group)}."
        )
    if same := words.lossless_sentence(report):
        verdicts.append(same)
    verdicts += [f"Note: {note}" for note in report.notes]
    shown = f"{drawn}{paragraphs(verdicts)}{table(_rows(report))}"
    found = words.leftovers(report) if report.groups else []
    if found:
        rows = [("from predicted to measured speed-up", "factor", "speed-up so far")]
        rows += [(one.term, f"{one.factor:.3f}", f"{one.speed:.3f}") for one in found]
        shown += f"{paragraphs([words.leftover_sentence(report)])}{table(rows)}"
    return f"<div>{shown}</div>"


def _rows(report: Report) -> list[list[str]]:
    """The main table; a blank that does not break keeps an interval on one line."""
    return [[*row[:2], *(cell.replace(" ", "\u00a0") for cell in row[2:])] if i else [*row]
            for i, row in enumerate(report.rows())]  # fmt: skip
