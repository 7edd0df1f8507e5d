"""What a report can and cannot say: intervals cut to what is possible, groups that are too few."""

from cscalc.cascade import Cascade, Review, Segment
from cscalc.profile import Profile

FEW = 5  # an interval from fewer prompts than this judges nothing
Range = tuple[float, float]


def possible(cascade: Cascade, profile: Profile) -> dict[str, Range]:
    """Least and most of each quantity that a cycle of `cascade` can have under `profile`.

    A cycle emits 1 to ``max_length + 1`` tokens. It costs at least the target's cheapest pass
    and one pass of all that is called for sure; at most every draft in full, each review as
    often as it can be called.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> found = possible(Cascade((Draft(1, 4),)), Profile([0.5], [0.125]))
    >>> found["tokens_per_cycle"], found["cycle_cost"]
    ((1.0, 5.0), (1.125, 1.5))
    """
    most = cascade.max_length + 1
    passes = profile.verify_costs(0, most)[1:]  # (most,)
    least_cost = float(passes.min()) + _least(cascade.drafts, profile)
    most_cost = float(passes.max()) + _most(cascade.drafts, profile, most)
    return {
        "tokens_per_cycle": (1.0, float(most)),
        "cycle_cost": (least_cost, most_cost),
        "speedup": (1.0 / most_cost, most / least_cost),
    }


def cut(value: float, low: float, high: float, within: Range) -> Range:
    """The interval without what is impossible; `value` stays in it.

    Examples
    --------
    >>> cut(3.0, 0.4, 36.3, (1.0, 6.0))
    (1.0, 6.0)
    """
    return min(value, max(low, within[0])), max(value, min(high, within[1]))


def _least(drafts: tuple[Segment, ...], profile: Profile) -> float:
    """One pass of each segment that is called for sure: with `until` one may not be."""
    total = 0.0
    for segment in drafts:
        if segment.until is not None:
            continue
        total += profile.cost(segment.model)
        if isinstance(segment, Review):
            total += _least(segment.drafts, profile)
    return total


def _most(drafts: tuple[Segment, ...], profile: Profile, width: int) -> float:
    """All passes that segments can make, each at its dearest width up to `width`."""
    total = 0.0
    for segment in drafts:
        cost = profile.cost(segment.model)
        if isinstance(segment, Review):
            known = profile.max_positions(segment.model)
            widest = width if known is None else min(width, known)
            pass_ = cost * float(profile.verify_costs(segment.model, widest)[1:].max())
            once = pass_ + _most(segment.drafts, profile, width)
            calls = segment.rounds
        else:
            once = cost if segment.model in profile.one_shot else cost * segment.length
            calls = 1
        total += once * (segment.until or calls or 1)
    return total
