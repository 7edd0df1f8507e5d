"""A cascade as a picture: who drafts, who reviews, how many tokens, how often.

Plain SVG that loads nothing and takes its ink from the page, so that it can be read on white
and on black.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

from cscalc._html import escape
from cscalc.cascade import Cascade, Draft, Segment, describe, walk

# Okabe and Ito's palette for all kinds of colour vision (jfly.uni-koeln.de/color), without
# black, which is the text, and yellow, which is lost on white. Model 0, 1, 2, ... in order.
MODEL_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
MOST_SQUARES = 10  # a longer draft ends in dots
MOST_LETTERS = 28  # of a name; a longer one is cut
FONT, LINE, PAD, GAP = 12, 16, 9, 22  # pixels
SQUARE = 9


@dataclass(frozen=True, slots=True)
class _Part:
    """A box, or a group of parts in a row, with its size in pixels."""

    width: float
    height: float
    colour: str
    lines: tuple[str, ...] = ()  # of a box; the first is bold
    squares: int = 0
    parts: tuple["_Part", ...] = ()  # of a group
    often: str = ""  # how often a group is run, under it
    dashed: bool = False
    kind: str = "group"


def cascade_svg(
    cascade: Cascade,
    names: Sequence[str] | None = None,
    *,
    one_shot: Collection[int] = (),
) -> str:
    """Return a cascade as SVG: boxes from left to right in drafting order, the target last.

    Parameters
    ----------
    cascade : Cascade
        What is drawn.
    names : sequence of str, optional
        Names of models 0, 1, 2, ...; default "target", "draft 1", ...
    one_shot : collection of int
        Models that propose all their tokens in one pass: said in their boxes.

    Returns
    -------
    str
        One ``<svg>`` element, for a page or a file of its own. A frame holds what a reviewer
        reviews and the reviewer: solid for a fixed number of rounds, dashed for `until`.

    Raises
    ------
    ValueError
        If `names` ends before the models of the cascade do.

    Examples
    --------
    >>> from cscalc.cascade import Cascade, Draft, Review
    >>> picture = cascade_svg(Cascade((Review(1, (Draft(2, 3),), rounds=2), Draft(2, 8))))
    >>> picture.startswith("<svg"), "proposes 8 tokens" in picture, "2 rounds" in picture
    (True, True, True)
    """
    last = max((segment.model for segment in walk(cascade.drafts)), default=0)
    if names is None:
        names = ("target", *(f"draft {model}" for model in range(1, last + 1)))
    if len(names) <= last:
        raise ValueError(
            f"names must name models 0..{last} of the cascade, got {len(names)}: give {last + 1}"
        )
    row = [_segment(segment, names, one_shot) for segment in cascade.drafts]
    row.append(_target(names[0], cascade.max_length))
    width = sum(part.width for part in row) + GAP * (len(row) - 1)
    height = max(part.height for part in row)
    said = escape(f"{names[0]} verifies: {describe(cascade.drafts, names) or 'no drafts'}")
    shapes = "".join(_row(tuple(row), 1.0, 1.0 + height / 2))
    size = f'width="{width + 2:.0f}" height="{height + 2:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {width + 2:.0f} {height + 2:.0f}" role="img" aria-label="{said}" '
        f'font-family="system-ui, sans-serif" font-size="{FONT}" fill="currentColor" '
        f'stroke="none" style="max-width:none"><title>{said}</title>{shapes}</svg>'
    )


def _segment(segment: Segment, names: Sequence[str], one_shot: Collection[int]) -> _Part:
    name, colour = names[segment.model], _colour(segment.model)
    until = "" if segment.until is None else f"until {_tokens(segment.until)} are there"
    if isinstance(segment, Draft):
        in_one = " in one pass" if segment.model in one_shot and segment.length > 1 else ""
        does = f"proposes {_tokens(segment.length)}{in_one}"
        box = _box("draft", colour, (name, does), segment.length)
        return _group((box,), colour, until, dashed=True) if until else box
    inner = tuple(_segment(one, names, one_shot) for one in segment.drafts)
    own = _box("review", colour, (name, "reviews, adds 1"), 1)
    rounds = "1 round" if segment.rounds == 1 else f"{segment.rounds} rounds"
    return _group((*inner, own), colour, until or rounds, dashed=bool(until))


def _target(name: str, most: int) -> _Part:
    does = f"verifies up to {most}, adds 1" if most else "writes 1 token a pass"
    return _box("target", _colour(0), (name, does), 1)


def _box(kind: str, colour: str, lines: tuple[str, ...], squares: int) -> _Part:
    lines = (_short(lines[0]), *lines[1:])
    shown = min(squares, MOST_SQUARES)
    row = (SQUARE + 2) * shown + (12 if squares > shown else 0)
    width = max([row, *(_width(line) for line in lines)]) + 2 * PAD
    height = LINE * len(lines) + SQUARE + 2 * PAD
    return _Part(width, height, colour, lines, squares, kind=kind)


def _group(parts: tuple[_Part, ...], colour: str, often: str, *, dashed: bool) -> _Part:
    inner = sum(part.width for part in parts) + GAP * (len(parts) - 1)
    width = max(inner, _width(often) + LINE) + 2 * PAD
    height = max(part.height for part in parts) + LINE + 2 * PAD
    return _Part(width, height, colour, parts=parts, often=often, dashed=dashed)


def _row(parts: tuple[_Part, ...], left: float, middle: float) -> Iterator[str]:
    """Parts side by side with arrows between, centred on the height `middle`."""
    for i, part in enumerate(parts):
        yield from _draw(part, left, middle - part.height / 2)
        left += part.width
        if i + 1 < len(parts):
            end = left + GAP - 4
            yield (
                f'<path d="M{left + 4:.1f} {middle:.1f}H{end:.1f}m-5 -4l5 4l-5 4" '
                f'fill="none" stroke="currentColor" stroke-width="1.4"/>'
            )
        left += GAP


def _draw(part: _Part, left: float, top: float) -> Iterator[str]:
    dash = ' stroke-dasharray="5 4"' if part.dashed else ""
    strength = 1.0 if part.parts else 1.6
    yield f'<g data-kind="{part.kind}">'
    yield (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{part.width:.1f}" '
        f'height="{part.height:.1f}" rx="6" fill="{part.colour}" '
        f'fill-opacity="{0.06 if part.parts else 0.16}" stroke="{part.colour}" '
        f'stroke-width="{strength}"{dash}/>'
    )
    if part.parts:
        inner = sum(one.width for one in part.parts) + GAP * (len(part.parts) - 1)
        middle = top + PAD + (part.height - 2 * PAD - LINE) / 2
        yield from _row(part.parts, left + (part.width - inner) / 2, middle)
        base = top + part.height - PAD
        yield from _loop(left + PAD, base - 4)
        yield f'<text x="{left + PAD + LINE:.1f}" y="{base:.1f}">{escape(part.often)}</text>'
    else:
        for i, line in enumerate(part.lines):
            weight = "" if i else ' font-weight="600"'
            y = top + PAD + LINE * (i + 1) - 4
            yield f'<text x="{left + PAD:.1f}" y="{y:.1f}"{weight}>{escape(line)}</text>'
        yield from _squares(part, left + PAD, top + part.height - PAD - SQUARE)
    yield "</g>"


def _loop(left: float, middle: float) -> Iterator[str]:
    """An arrow that runs in a circle: what is framed is repeated."""
    yield (
        f'<path d="M{left + 10.3:.1f} {middle - 2:.1f}a5 5 0 1 0 .2 3.4M{left + 11.5:.1f} '
        f'{middle - 5.5:.1f}v4h-4" fill="none" stroke="currentColor" stroke-width="1.4"/>'
    )


def _squares(part: _Part, left: float, top: float) -> Iterator[str]:
    """One square a token."""
    step, shown = SQUARE + 2, min(part.squares, MOST_SQUARES)
    for i in range(shown):
        yield (
            f'<rect x="{left + step * i:.1f}" y="{top:.1f}" width="{SQUARE}" height="{SQUARE}" '
            f'rx="1.5" fill="{part.colour}"/>'
        )
    if part.squares > shown:
        yield f'<text x="{left + step * shown:.1f}" y="{top + SQUARE - 1:.1f}">…</text>'


def _colour(model: int) -> str:
    return MODEL_COLOURS[model % len(MODEL_COLOURS)]


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _width(text: str) -> float:
    """Pixels that a line takes in a common sans-serif font, rather too many than too few."""
    return sum(_letter(letter) for letter in text)


def _letter(letter: str) -> float:
    if east_asian_width(letter) in "WF":
        return 13.0
    if letter in "iljtf.,:;|!()[]' ":
        return 4.2
    if letter in "MWmw@%":
        return 11.0
    return 8.6 if letter.isupper() else 7.0
