"""Pieces of HTML for notebooks: escaped text, tables, paragraphs, bars."""

import html
import re
from collections.abc import Iterable, Sequence

# What XML forbids even when escaped; a lone surrogate cannot be written as UTF-8 either.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: object) -> str:
    """Return text that shows as it is, in HTML and in XML, between tags and in attributes.

    Examples
    --------
    >>> escape('<b> & "c"')
    '&lt;b&gt; &amp; &quot;c&quot;'
    """
    return html.escape(FORBIDDEN.sub("\ufffd", str(text)))


def table(rows: Iterable[Sequence[object]]) -> str:
    """Return a table whose first row is its header.

    Examples
    --------
    >>> table([("model",), ("a<b",)])
    '<table><thead><tr><th>model</th></tr></thead><tbody><tr><td>a&lt;b</td></tr></tbody></table>'
    """
    head, *body = ([escape(cell) for cell in row] for row in rows)
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    lines = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body]
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def facts(rows: Iterable[tuple[str, object]]) -> str:
    """Return a table of names, each with its value.

    Examples
    --------
    >>> facts([("cycles", 100)])
    '<table><tr><th>cycles</th><td>100</td></tr></table>'
    """
    lines = [f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows]
    return f"<table>{''.join(lines)}</table>"


def paragraphs(lines: Iterable[str]) -> str:
    """Return each line as a paragraph.

    Examples
    --------
    >>> paragraphs(["one", "two"])
    '<p>one</p><p>two</p>'
    """
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def scrolled(picture: str) -> str:
    """Let a picture that is wider than the page be scrolled, not shrunk."""
    return f'<div style="overflow-x:auto;padding:4px 0">{picture}</div>'


def bars(title: str, shares: Sequence[tuple[str, float]]) -> str:
    """Return upright bars with a label under each, as SVG in the page's own ink.

    Parameters
    ----------
    title : str
        What the bars show.
    shares : sequence of (str, float)
        Label and height, >= 0, of each bar.

    Examples
    --------
    >>> bars("share", [("1", 0.25), ("2", 0.75)]).count("<rect")
    2
    """
    step = max(14, min(34, 340 // max(len(shares), 1)))
    every = -(-max(len(label) for label, _ in shares) * 10 // step)  # labels that have room
    most = max(share for _, share in shares) or 1.0
    drawn = []
    for i, (label, share) in enumerate(shares):
        height = 60.0 * share / most
        drawn.append(
            f'<rect x="{step * i + 2}" y="{80 - height:.1f}" width="{step - 4}" '
            f'height="{height:.1f}" fill="#0072B2" fill-opacity=".75">'
            f"<title>{escape(label)}: {share:.4g}</title></rect>"
        )
        if i % every == 0:
            x = step * i + step / 2
            drawn.append(f'<text x="{x:.1f}" y="93" text-anchor="middle">{escape(label)}</text>')
    width = max(step * len(shares), 280)
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="98" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="11" '
        f'fill="currentColor" style="max-width:none"><text x="2" y="12">{escape(title)}</text>'
        f'<path d="M0 80.5H{step * len(shares)}" stroke="currentColor" fill="none"/>'
        f"{''.join(drawn)}</svg>"
    )
    return scrolled(picture)
