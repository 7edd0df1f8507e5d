"""Cascades that differ from one cascade in a number or a segment."""

from collections.abc import Iterator

from cscalc.cascade import Cascade, Draft, Review, Segment


def neighbours(cascade: Cascade, most: int, *, pairs: bool = True) -> Iterator[Cascade]:
    """Cascades that differ in one number by one or two, in two by one, or by one segment.

    Parameters
    ----------
    cascade : Cascade
        Its neighbours keep its order of models, and nest reviews no deeper.
    most : int
        Largest length, number of rounds and threshold of a neighbour.
    pairs : bool
        Whether to change two numbers at once as well.

    Yields
    ------
    Cascade
        Some more than once.

    Examples
    --------
    >>> [str(one) for one in neighbours(Cascade((Draft(1, 1),)), 2)]
    ['1:2', 'plain decoding', '1:1']
    """
    ones = list(_changed(cascade.drafts, (-2, -1, 1, 2), most))
    twos = [two for one in ones for two in _changed(one, (-1, 1), most)] if pairs else []
    fewer = [cascade.drafts[:i] + cascade.drafts[i + 1 :] for i in range(len(cascade.drafts))]
    for drafts in (*ones, *fewer, *twos):
        try:
            yield Cascade(drafts)
        except ValueError:  # an until that is already reached
            continue


def _changed(
    drafts: tuple[Segment, ...], steps: tuple[int, ...], most: int
) -> Iterator[tuple[Segment, ...]]:
    for i, segment in enumerate(drafts):
        for changed in _changed_segment(segment, steps, most):
            yield (*drafts[:i], changed, *drafts[i + 1 :])


def _changed_segment(segment: Segment, steps: tuple[int, ...], most: int) -> Iterator[Segment]:
    if isinstance(segment, Draft):
        for step in steps:
            if 1 <= segment.length + step <= most:
                yield Draft(segment.model, segment.length + step, until=segment.until)
        return
    for step in steps:
        if segment.rounds is not None and 1 <= segment.rounds + step <= most:
            yield Review(segment.model, segment.drafts, rounds=segment.rounds + step)
        if segment.until is not None and 1 <= segment.until + step <= most:
            yield Review(segment.model, segment.drafts, until=segment.until + step)
    for inner in _changed(segment.drafts, steps, most):
        try:
            yield Review(segment.model, inner, rounds=segment.rounds, until=segment.until)
        except ValueError:  # an inner until that is already reached
            continue
