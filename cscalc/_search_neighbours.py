"""Cascades that differ from one cascade in a number, a segment, or who reviews whom."""

from collections.abc import Collection, Iterator

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


def restructured(
    cascade: Cascade, n_drafts: int, one_shot: Collection[int], depth: int, most: int
) -> Iterator[Cascade]:
    """Cascades in which one model at one place drafts, reviews, stops otherwise, or is new.

    Parameters
    ----------
    cascade : Cascade
        Each of its reviewers is served by each model at most once, from dear to cheap.
    n_drafts : int
        Models 1..n_drafts may be used.
    one_shot : collection of int
        Models that cannot review.
    depth : int
        Most reviews inside one another.
    most : int
        Largest length, number of rounds and threshold.

    Yields
    ------
    Cascade
        Some more than once; a new segment has a few small numbers, to be refined.

    Examples
    --------
    >>> found = restructured(Cascade((Draft(2, 4),)), 2, (), 1, 8)
    >>> [str(one) for one in found][:3]
    ['1:1 + 2:4', '1:3 + 2:4', '1 x [1 reviews 2:4] + 2:4']
    """

    def level(
        drafts: tuple[Segment, ...], reviewer: int, left: int
    ) -> Iterator[tuple[Segment, ...]]:
        here = {one.model: one for one in drafts}
        for model in range(reviewer + 1, n_drafts + 1):
            for new, gone in changed(model, here, left):
                rest = [one for j, one in here.items() if j not in (model, gone)]
                yield tuple(sorted((*rest, new), key=lambda one: one.model))

    def changed(
        model: int, here: dict[int, Segment], left: int
    ) -> Iterator[tuple[Segment, int | None]]:
        """A new segment of `model`, and a model that leaves this level for it."""
        now = here.get(model)
        if isinstance(now, Review):
            value = now.rounds or now.until or 1
            yield Draft(model, value), None
            for other in {value, min(value + 1, most), min(2 * value, most)}:
                yield from stopped(model, now.drafts, other)
            for inner in level(now.drafts, model, left - 1):
                try:
                    yield Review(model, inner, rounds=now.rounds, until=now.until), None
                except ValueError:  # an until that is already reached
                    continue
            return
        if now is None:
            yield Draft(model, 1), None
            yield Draft(model, min(3, most)), None
        if left and model not in one_shot:
            for cheap in range(model + 1, n_drafts + 1):
                moved = here.get(cheap, Draft(cheap, min(4, most)))
                if moved.until is not None or (isinstance(moved, Review) and left < 2):
                    moved = Draft(cheap, min(4, most))
                for value in (1, min(3, most)):
                    for new, _ in stopped(model, (moved,), value):
                        yield new, None
                        yield new, cheap

    def stopped(
        model: int, inner: tuple[Segment, ...], value: int
    ) -> Iterator[tuple[Segment, int | None]]:
        yield Review(model, inner, rounds=value), None
        yield Review(model, inner, until=value), None

    for drafts in level(cascade.drafts, 0, depth):
        try:
            yield Cascade(drafts)
        except ValueError:  # an until that is already reached
            continue
