"""CS Drafting's K matrix: thresholds of Algorithm 1 (arXiv:2312.11462) as segments, and back."""

from collections.abc import Sequence

from cscalc._checks import check_choice, check_int
from cscalc.cascade import Draft, Review, Segment, walk


def segments_of(
    k_matrix: Sequence[Sequence[int]], form: str, bottom_length: int
) -> tuple[Segment, ...]:
    """Segments of a K matrix; see `Cascade.from_k_matrix`."""
    check_choice("form", form, ("incremental", "cumulative"))
    check_int("bottom_length", bottom_length, least=1)
    return _k_segments(_k_rows(k_matrix), 0, form, bottom_length)


def matrix_of(drafts: tuple[Segment, ...], last: int) -> list[list[int]] | None:
    """Incremental K matrix (full rows) of segments of Algorithm 1, or None."""
    rows: dict[int, list[int]] = {}
    if not last or not _k_row(drafts, 0, last, rows):
        return None
    bottom = {s.length for s in walk(drafts) if isinstance(s, Draft) and s.model == last}
    if len(bottom) > 1:
        return None
    alone = {s.model for s in walk(drafts) if isinstance(s, Draft)}
    if alone & set(rows):  # a model with a row reviews wherever it stands
        return None
    empty = [0] * last
    return [rows.get(reviewer, empty) for reviewer in range(last)]


def _k_rows(k_matrix: Sequence[Sequence[int]]) -> list[list[int]]:
    rows = [[int(check_int("k_matrix entry", k, least=0)) for k in row] for row in k_matrix]
    n = len(rows)
    if not rows:
        raise ValueError("k_matrix must have at least one row, got []")
    if all(len(row) == n for row in rows):
        for r, row in enumerate(rows):
            if any(row[:r]):
                raise ValueError(f"k_matrix must be upper-triangular, got row {r} = {row}")
        rows = [row[r:] for r, row in enumerate(rows)]
    for r, row in enumerate(rows):
        if len(row) != n - r:
            raise ValueError(
                f"k_matrix row {r} must have {n} entries (square) or {n - r} (upper triangle), "
                f"got {len(row)}"
            )
    return rows


def _k_segments(
    rows: list[list[int]], reviewer: int, form: str, bottom_length: int
) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    last, threshold = len(rows), 0
    for model, k in enumerate(rows[reviewer], start=reviewer + 1):
        reached = threshold + k if form == "incremental" else k
        if form == "cumulative" and k < threshold and k != 0:
            raise ValueError(
                f"cumulative thresholds must not decrease, got row {reviewer} = {rows[reviewer]}: "
                f'is it form="incremental"?'
            )
        if reached <= threshold:
            continue
        threshold = reached
        inner = _k_segments(rows, model, form, bottom_length) if model < last else ()
        if inner:
            segments.append(Review(model, inner, until=threshold))
        else:
            length = bottom_length if model == last else 1
            segments.append(Draft(model, length, until=threshold))
    return tuple(segments)


def _k_row(
    drafts: tuple[Segment, ...], reviewer: int, last: int, rows: dict[int, list[int]]
) -> bool:
    row, threshold, seen = [0] * last, 0, reviewer
    for segment in drafts:
        reached = segment.until
        if reached is None and isinstance(segment, Draft):  # one call is `until` its own length
            reached = threshold + segment.length if len(drafts) == 1 or threshold == 0 else None
        if reached is None or segment.model <= seen or reached <= threshold:
            return False
        repeats = isinstance(segment, Draft) and segment.until is not None and segment.length > 1
        if repeats and segment.model < last:  # above the bottom, Algorithm 1 adds single tokens
            return False
        row[segment.model - 1] = reached - threshold
        threshold, seen = reached, segment.model
        if isinstance(segment, Review) and not _k_row(segment.drafts, segment.model, last, rows):
            return False
    return rows.setdefault(reviewer, row) == row
