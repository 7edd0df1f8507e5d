"""Building blocks of the report page, text in and HTML out, and its style sheet."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape as esc


def page(title: str, body: str) -> str:
    """Return a whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{esc(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def section(title: str, body: str, lead: str = "") -> str:
    """Section of the page; `body` is HTML already."""
    return f"<section><h2>{esc(title)}</h2>{paragraph(lead) if lead else ''}{body}</section>\n"


def figure(picture: str, chips: Sequence[tuple[str, str]] = ()) -> str:
    """Picture under its legend of (HTML key, text) pairs."""
    keys = "".join(f"<span>{key}{esc(label)}</span>" for key, label in chips)
    legend = f'<figcaption class="key">{keys}</figcaption>' if keys else ""
    return f"<figure>{legend}{picture}</figure>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    """Table of cells that are HTML already; headers are text, and label the cells on phones."""
    top = "".join(f'<th scope="col">{esc(cell)}</th>' for cell in head)
    lines = []
    for row in rows:
        first, *rest = row
        cells = "".join(map(_cell, head[1:], rest))
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    body = f"<thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<table class="{kind}">{body}</table>'


def _cell(label: str, cell: str) -> str:
    if not cell:
        return '<td class="empty"></td>'
    return f'<td data-label="{esc(label)}"><div>{cell}</div></td>'


def glossary(entries: Mapping[str, str]) -> str:
    """Words and what they mean."""
    pairs = (f"<dt>{esc(word)}</dt><dd>{esc(text)}</dd>" for word, text in entries.items())
    return f"<dl>{''.join(pairs)}</dl>"


def chip(colour: str) -> str:
    """Square of a colour."""
    return shape('<rect x="3" width="12" height="12" rx="2"/>', colour)


def shape(element: str, fill: str, stroke: str = "none", line: str = "") -> str:
    """Legend key, 20 by 12: a shape, on a line if `line` gives its colour."""
    below = f'<path d="M0 6H20" stroke="{line}" stroke-width="2"/>' if line else ""
    return (
        f'<svg class="chip" width="20" height="12" fill="{fill}" stroke="{stroke}" '
        f'stroke-width="1.6" aria-hidden="true">{below}{element}</svg>'
    )


def number(value: float | None, digits: int = 3) -> str:
    """Number, or a dash where there is none."""
    return "&ndash;" if value is None else f"{value:.{digits}f}"


def paragraph(text: str, kind: str = "") -> str:
    """Paragraph of text."""
    return (f'<p class="{kind}">' if kind else "<p>") + f"{esc(text)}</p>"


STYLE = """
:root{--paper:#fff;--ink:#1b1b1b;--soft:#5b5b5b;--line:#d4d4d4;--tint:#f4f5f6}
@media screen and (prefers-color-scheme:dark){
:root{--paper:#16181a;--ink:#ececec;--soft:#a9adb1;--line:#4a4e52;--tint:#202427}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);line-height:1.5;overflow-wrap:break-word;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:56rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.9rem;line-height:1.2;margin:.1rem 0 .3rem}
h2{font-size:1.3rem;margin:0 0 .4rem}
h3{font-size:1rem;margin:1.3rem 0 .3rem}
p{margin:.3rem 0 .7rem}
section{border-top:1px solid var(--line);margin-top:2rem;padding-top:1.3rem}
small,.faint,.over{color:var(--soft)}
.faint,.over{font-size:.87rem}
.over{margin:0}
.notation{font-size:1.05rem;color:var(--soft)}
.tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}
.tile{flex:1 1 16rem;background:var(--tint);border-radius:.5rem;padding:.7rem 1rem}
.tile p{margin:0 0 .2rem}
.big{font-size:2.3rem;font-weight:700;line-height:1.15}
.flow{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem;margin:.6rem 0}
.review .flow{margin:0}
.review{border:1.5px dashed var(--soft);border-radius:.6rem;padding:.5rem}
.box{border:2px solid;border-radius:.5rem;padding:.4rem .7rem;background:var(--tint);
max-width:100%}
.box p{margin:0;font-size:.9rem}
.target{border-width:3px}
.often{margin:.2rem 0 0;font-size:.87rem;color:var(--soft)}
.arrow{font-size:1.3rem;color:var(--soft)}
.squares{max-width:100%;vertical-align:middle}
ol{margin:.3rem 0;padding-left:1.4rem}
table{border-collapse:collapse;margin:.5rem 0 .8rem;font-size:.93rem;
font-variant-numeric:tabular-nums}
th,td{padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line);text-align:right;
vertical-align:top}
th:first-child,td:first-child{text-align:left}
th:last-child,td:last-child{padding-right:0}
th{font-weight:400}
thead th{color:var(--soft);font-size:.85rem;vertical-align:bottom;border-bottom-color:var(--soft)}
td small{display:block;font-size:.82rem;white-space:nowrap}
.main,.wide,.words,.ranked{width:100%}
.main{table-layout:fixed}
.main th:first-child{width:21%}
.main td:last-child small{white-space:normal}
tbody th,h1,.key span,.notation,.box b,.explain,.plain td,.ranked td{overflow-wrap:anywhere}
.words td:nth-child(2){white-space:nowrap}
.words td:last-child,.words th:last-child,.plain td,.plain th,
.ranked td:nth-child(2),.ranked th:nth-child(2),.ranked td:nth-child(3),.ranked th:nth-child(3)
{text-align:left}
.words td:last-child{width:52%}
.glossary{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:0 2rem}
dl{margin:.2rem 0}
dt{font-weight:600;font-size:.92rem}
dd{margin:0 0 .5rem;font-size:.92rem}
figure{margin:.6rem 0 1rem;max-width:34rem}
figure>svg{display:block;width:100%;height:auto}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.9rem;margin-bottom:.3rem}
.chip{margin-right:.4rem;vertical-align:-1px}
.explain{background:var(--tint);border-radius:.5rem;padding:.5rem 1rem;margin-bottom:.8rem}
.explain p{margin:.3rem 0}
.note{font-weight:600}
@media screen and (max-width:40rem){
h1{font-size:1.5rem}
.cards thead{display:none}
.cards,.cards tbody,.cards tr,.cards th,.cards td{display:block;width:auto}
.cards tr{border-bottom:1px solid var(--line);padding:.5rem 0}
.cards th,.cards td{border:0;padding:.1rem 0;text-align:left}
.cards th,.main th:first-child{font-weight:600;width:auto}
.wide tr{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));column-gap:1.6rem}
.wide th{grid-column:1/3}
.cards td{display:flex;justify-content:space-between;gap:1rem;text-align:right}
.cards td::before{content:attr(data-label);color:var(--soft);text-align:left;flex:0 1 auto;
min-width:0;overflow-wrap:anywhere}
.cards .empty{display:none}
.words td:last-child{display:block;width:auto;text-align:left}
.words td:last-child::before{content:none}
}
@media print{
html{font-size:9.5pt}
main{max-width:none;padding:0}
table,figure,tr,dl,.tile,.box{break-inside:avoid}
h2,h3,dt{break-after:avoid}
.tile,.box,.explain{border:1px solid var(--line)}
}
"""
