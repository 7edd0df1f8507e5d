"""All figures on one page, out/index.html: captions, sources and the numbers they are held to.

Run after the figure scripts: ``python paper_figs/page.py``; ``make figures`` does both.
"""

import inspect
import re
import struct
from html import escape
from importlib import import_module
from pathlib import Path
from types import ModuleType

from claims import Claim
from style import OUT

SECTIONS = {
    "Speculative decoding (Leviathan et al.)": (
        "fig_leviathan_curves",
        "fig_leviathan_tables",
        "fig_optimal_length",
    ),
    "CS Drafting": (
        "fig_cs_drafting_table1",
        "fig_cs_drafting_swi",
        "fig_cs_drafting_walltime",
    ),
    "CAS-Spec": (
        "fig_effective_bounds",
        "fig_cas_spec_figure1a",
        "fig_cas_spec_figure3",
        "fig_cas_spec_table1",
        "fig_cas_spec_table2",
    ),
    "Trees and deferral": (
        "fig_sequoia_tree_size",
        "fig_speculative_cascades",
    ),
    "Theory against measurement, and beyond the papers": (
        "fig_every_cascade",
        "fig_predicted_measured",
        "fig_prediction_error",
        "fig_correlated_acceptance",
        "fig_adaptive_bound",
        "fig_batch_context",
    ),
}

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #ffffff; --quiet: #5c5c5c;
  --line: #d0d0d0; --link: #00599c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #16181b;
  --quiet: #a8a8a8; --line: #44484d; --link: #7cc0f5; } }
body { font: 17px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 0 auto; padding: 1.2rem; }
h1 { line-height: 1.2; } h2 { margin-top: 3.2rem; border-bottom: 2px solid var(--line); }
h3 { margin: 2.6rem 0 .6rem; } a { color: var(--link); }
figure { margin: 0 0 2.5rem; } figcaption { max-width: 46rem; }
figure img { max-width: 100%; height: auto; background: #ffffff; padding: 10px;
  border: 1px solid var(--line); border-radius: 6px; box-sizing: border-box; }
code { font-size: .9em; background: color-mix(in srgb, var(--ink) 8%, transparent);
  padding: .05em .3em; border-radius: 3px; overflow-wrap: anywhere; }
details { margin: .6rem 0; } summary { cursor: pointer; }
.scroll { overflow-x: auto; max-height: 26rem; }
table { border-collapse: collapse; font-size: .88rem; margin: .5rem 0; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, td:last-child, th:last-child { text-align: left; }
td { font-variant-numeric: tabular-nums; } .quiet { color: var(--quiet); font-size: .9rem; }
"""


def words(script: ModuleType) -> list[str]:
    """Paragraphs of a script's docstring: its title, without the full stop, and its caption."""
    title, *paragraphs = (inspect.getdoc(script) or "").split("\n\n")
    if not title or not paragraphs:
        raise ValueError(f"{script.__name__} needs a docstring with a title and a caption")
    return [title.rstrip("."), *paragraphs]


def prose(text: str) -> str:
    """Turn a docstring's paragraph into HTML: quoted code, and links for arXiv ids."""
    safe = escape(" ".join(text.split()))
    safe = re.sub(r"``(.+?)``|`(.+?)`", lambda m: f"<code>{m[1] or m[2]}</code>", safe)
    return re.sub(
        r"arXiv:(\d{4}\.\d{4,5})", r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', safe
    )


def number(value: float) -> str:
    """Write a number with the digits it needs, six decimals at most."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def claims_table(claims: tuple[Claim, ...]) -> str:
    """Return the numbers a figure is held to, as a table that can be folded."""
    if not claims:
        return '<p class="quiet">This figure reproduces no published number.</p>'
    rows = "".join(
        f"<tr><td>{prose(claim.what)}</td><td>{number(claim.known)}</td>"
        f"<td>{number(claim.ours)}</td><td>{claim.tolerance:g}</td>"
        f"<td>{prose(claim.source)}</td></tr>"
        for claim in claims
    )
    broken = sum(not claim.holds for claim in claims)
    verdict = f"all agree: {len(claims)}" if not broken else f"{broken} DO NOT AGREE"
    return (
        f"<details><summary>Numbers a test holds this figure to ({verdict})</summary>"
        '<div class="scroll" tabindex="0"><table><thead><tr><th scope="col">what</th>'
        '<th scope="col">known</th><th scope="col">ours</th><th scope="col">within</th>'
        f'<th scope="col">from</th></tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def png_size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG in pixels, from its header."""
    head = path.read_bytes()[:24]
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"{path.name} is no PNG: draw it again with its script")
    width, height = struct.unpack(">II", head[16:24])
    return int(width), int(height)


def entry(script: ModuleType, claims: tuple[Claim, ...], folder: Path) -> str:
    """One figure of the page: title, picture, caption, numbers."""
    title, *paragraphs = words(script)
    name = script.NAME
    width, height = png_size(folder / f"{name}.png")
    caption = "".join(f"<p>{prose(paragraph)}</p>" for paragraph in paragraphs)
    return (
        f'<h3 id="{name}">{prose(title)}</h3><figure>'
        f'<a href="{name}.png"><img src="{name}.png" width="{width}" height="{height}" '
        f'loading="lazy" alt="{escape(" ".join(script.ALT.split()), quote=True)}"></a>'
        f"<figcaption>{caption}{claims_table(claims)}</figcaption></figure>"
    )


def waits(script: ModuleType) -> bool:
    """Whether a figure draws a record that nobody has made yet: it is left out."""
    return not getattr(script, "RECORD", OUT).exists()


def page(folder: Path, sections: dict[str, tuple[str, ...]]) -> str:
    """Return the whole page over the pictures in `folder`."""
    contents, body = [], []
    total = 0
    for heading, names in sections.items():
        body.append(f"<h2>{escape(heading)}</h2>")
        links = []
        for name in names:
            script = import_module(name)
            if waits(script):
                continue
            claims = script.claims()
            total += len(claims)
            body.append(entry(script, claims, folder))
            links.append(f'<li><a href="#{name}">{prose(words(script)[0])}</a></li>')
        contents.append(f"<li>{escape(heading)}<ul>{''.join(links)}</ul></li>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>cscalc: the figures</title><style>{STYLE}</style></head><body>"
        "<h1>Cascade speculative decoding in figures</h1>"
        "<p>Each figure is drawn by one script of <code>paper_figs/</code> from what "
        "<code>cscalc</code> computes, or from a measured record in "
        "<code>benchmarks/records/</code>; <code>make figures</code> draws them all again, byte "
        f"for byte, as PNG and PDF. A test holds them to {total} published or otherwise known "
        "numbers, which stand under each figure. Colours are Okabe and Ito's, for all kinds of "
        f'colour vision.</p><nav aria-label="Figures"><ul>{"".join(contents)}</ul></nav>'
        f"<main>{''.join(body)}</main></body></html>\n"
    )


def main(folder: Path = OUT) -> None:
    """Write index.html beside the pictures."""
    (folder / "index.html").write_text(page(folder, SECTIONS), encoding="utf-8")


if __name__ == "__main__":
    main()
