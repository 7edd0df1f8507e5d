"""Effective bound of a cascade: the dearest draft that still pays, over all lengths.

Source: Ning et al. "CAS-Spec: Cascade Adaptive Self-Speculative Decoding." NeurIPS 2025,
arXiv:2510.26843, Eq. 3 and Figures 1b, 1c.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_choice, check_costs, check_int, check_rates, check_shapes
from cscalc.theory.series import geometric_sum, geometric_sum_gap, unwrap
from cscalc.theory.speculative import optimal_length, speculative_ewif

Ints = npt.NDArray[np.int64]

KINDS = ("vertical", "horizontal")
_ROUNDING = 1e-14  # what is left of a bound of exactly 0 in float64
_NEGLIGIBLE = 1e-18  # a token reached so rarely no longer changes a float64 sum


@dataclass(frozen=True, slots=True)
class EffectiveBound:
    """Effective bound with the lengths that attain it; every field broadcast to one shape.

    Attributes
    ----------
    kind : str
        "vertical" or "horizontal".
    cost_d1 : float or ndarray
        Largest cost of d1 that pays, in target passes; 0 where no positive cost does.
    passes_d1 : int or ndarray
        Passes of d1 per cycle at the bound: its rounds (vertical) or its draft length
        (horizontal); 0 where no positive cost pays.
    length_d2 : int or ndarray
        Tokens of d2 per round (vertical) or per cycle (horizontal) at the bound; 0 likewise.
    length_alone : int or ndarray
        Best draft length of the rival, d2 alone; 0 if plain decoding is better.
    ewif_alone : float or ndarray
        EWIF of that rival, >= 1: what the cascade's EWIF equals when d1 costs `cost_d1`.

    Examples
    --------
    >>> bound = effective_bound_details("horizontal", 0.9, 0.5, 0.01)
    >>> round(float(bound.cost_d1), 3), int(bound.passes_d1)
    (0.428, 1)
    """

    kind: str
    cost_d1: Floats
    passes_d1: Ints
    length_d2: Ints
    length_alone: Ints
    ewif_alone: Floats


def effective_bound(
    kind: Literal["vertical", "horizontal"],
    alpha_d1: npt.ArrayLike,
    alpha_d2: npt.ArrayLike,
    cost_d2: npt.ArrayLike,
    *,
    alpha_inner: npt.ArrayLike | None = None,
    one_shot: bool = False,
    max_passes: int = 1 << 20,
    max_length: int | None = None,
) -> Floats:
    r"""Largest cost of d1 at which a cascade of d1 and d2 is no slower than d2 alone, Eq. 3.

    Both sides are maximised over all their lengths: the cascade over the passes of d1 (at least
    one) and the tokens of d2 (at least one in a vertical cascade, where d1 reviews them; 0 too in
    a horizontal one, which then is d1 alone), the rival over the draft length of d2 (0 included).

    Parameters
    ----------
    kind : {"vertical", "horizontal"}
        Whether d1 reviews d2's tokens, or drafts before d2.
    alpha_d1, alpha_d2 : array_like
        Acceptance rate by the target of tokens of d1 and of d2, in [0, 1].
    cost_d2 : array_like
        Time of one pass of d2, in target passes, >= 0. All arrays broadcast.
    alpha_inner : array_like, optional
        Acceptance rate of d2's tokens by d1, used in the vertical cascade; `alpha_d2` if not
        given, as in Figures 1b and 1c.
    one_shot : bool
        Whether d2 proposes all its tokens in one pass; needs `max_length`.
    max_passes : int
        Most passes of d1 per cycle, >= 1. The default is beyond every attained optimum with
        ``alpha_d1 <= 1 - 1e-9``; at 1 itself the supremum is reached only in the limit.
    max_length : int, optional
        Longest draft of d2, >= 1; 4096 if not given, which matters only where cost_d2 is tiny
        and alpha_d2 is above .99. Required for a one-shot d2.

    Returns
    -------
    float or ndarray
        In target passes, >= 0. It is 0.0 where no positive cost pays: the supremum over lengths
        is then <= 0, and a cascade with any d1 that costs time loses against d2 alone. At a
        positive bound the two EWIF are equal.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    See Also
    --------
    effective_bound_details : the same with the lengths that attain it.

    Notes
    -----
    For a given length of d2, the cascade's tokens are concave in the passes n of d1 (each pass
    multiplies what is left to gain by the same factor), so the bound
    :math:`(T(n)/T^* - 1)/n - \dots` has one peak in n, found by bisection on
    :math:`n (T(n+1) - T(n)) > T(n) - T^*`. The length of d2 is enumerated up to the last one
    whose token, reached with probability :math:`\alpha_{d1} (\alpha_{d1} \alpha')^{k}`
    (vertical) or :math:`\alpha_{d1} \alpha_{d2}^{k}` (horizontal), is worth
    :math:`c_{d2} T^*`: every longer one loses for every n.

    Examples
    --------
    >>> round(float(effective_bound("vertical", 0.9, 0.5, 0.01)), 3)
    0.517
    >>> effective_bound("horizontal", [0.2, 0.6, 0.9], 0.5, 0.01).round(3)
    array([0.   , 0.113, 0.428])
    """
    return effective_bound_details(
        kind,
        alpha_d1,
        alpha_d2,
        cost_d2,
        alpha_inner=alpha_inner,
        one_shot=one_shot,
        max_passes=max_passes,
        max_length=max_length,
    ).cost_d1


def effective_bound_details(
    kind: Literal["vertical", "horizontal"],
    alpha_d1: npt.ArrayLike,
    alpha_d2: npt.ArrayLike,
    cost_d2: npt.ArrayLike,
    *,
    alpha_inner: npt.ArrayLike | None = None,
    one_shot: bool = False,
    max_passes: int = 1 << 20,
    max_length: int | None = None,
) -> EffectiveBound:
    """Effective bound, the lengths that attain it, and the rival it is measured against.

    Parameters
    ----------
    kind, alpha_d1, alpha_d2, cost_d2, alpha_inner, one_shot, max_passes, max_length
        As in `effective_bound`.

    Returns
    -------
    EffectiveBound
        The fewest passes of d1 on a tie, then the shortest draft of d2.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> bound = effective_bound_details("vertical", 0.9, 0.5, 0.01)
    >>> int(bound.passes_d1), int(bound.length_d2), int(bound.length_alone)
    (3, 4, 5)
    """
    check_shapes(alpha_d1=alpha_d1, alpha_d2=alpha_d2, cost_d2=cost_d2, alpha_inner=alpha_inner)
    vertical = check_choice("kind", kind, KINDS) == "vertical"
    if one_shot and max_length is None:
        raise ValueError(
            "max_length must be given for a one-shot d2, got None: each token is free"
        )
    most = check_int("max_passes", max_passes, least=1)
    longest = check_int("max_length", 4096 if max_length is None else max_length, least=1)
    dear, cheap, costs, inner = np.broadcast_arrays(
        check_rates("alpha_d1", alpha_d1),
        check_rates("alpha_d2", alpha_d2),
        check_costs("cost_d2", cost_d2),
        check_rates("alpha_inner", alpha_d2 if alpha_inner is None else alpha_inner),
    )
    shape = dear.shape
    dear, cheap, costs, inner = (values.ravel() for values in (dear, cheap, costs, inner))

    if one_shot:
        drafted = geometric_sum(cheap, np.asarray(longest + 1.0)) / (1.0 + costs)
        alone = np.where(drafted > 1.0, longest, 0)
        rival = np.maximum(drafted, 1.0)
    else:
        alone = np.asarray(optimal_length(cheap, costs, max_length=longest))
        rival = speculative_ewif(cheap, costs, alone)

    last = _last_length(dear, dear * inner if vertical else cheap, costs * rival, longest)
    best = np.zeros(dear.shape)
    passes = np.zeros(dear.shape, dtype=np.int64)
    length_d2 = np.zeros(dear.shape, dtype=np.int64)
    lengths = [longest] if one_shot else list(range(1, int(last.max(initial=0)) + 1))
    for length in lengths if vertical else [0, *lengths]:
        at = np.arange(dear.size) if one_shot else np.flatnonzero(last >= length)
        time = costs[at] * (min(length, 1) if one_shot else length)  # of d2, per round or cycle
        goal = rival[at]
        if vertical:  # T(n) = start + step * (1 + r + ... + r**(n - 1)), r = 1 - gap
            kept = geometric_sum(dear[at] * inner[at], np.asarray(length + 1.0))
            start, step = np.ones(at.size), dear[at] * kept
            gap = np.minimum((1.0 - dear[at]) * kept, 1.0)
        else:
            tail = cheap[at] * geometric_sum(cheap[at], np.asarray(float(length)))
            start, gap = 1.0 + tail, 1.0 - dear[at]
            step = dear[at] - tail * gap
            goal = goal * (1.0 + time)
        count = _best_count(start, step, gap, goal, most)
        tokens = start + step * geometric_sum_gap(gap, count)
        bound = (tokens - goal) / (rival[at] * count) - (time if vertical else 0.0)
        ahead = bound - best[at]
        better = (ahead > _ROUNDING) | ((ahead > -_ROUNDING) & (count < passes[at]))
        won = at[better]
        best[won] = bound[better]
        passes[won] = count[better].astype(np.int64)
        length_d2[won] = length
    return EffectiveBound(
        kind=kind,
        cost_d1=unwrap(best.reshape(shape)),
        passes_d1=passes.reshape(shape)[()],
        length_d2=length_d2.reshape(shape)[()],
        length_alone=alone.astype(np.int64).reshape(shape)[()],
        ewif_alone=unwrap(np.asarray(rival).reshape(shape)),
    )


def _last_length(first: Floats, ratio: Floats, worth: Floats, longest: int) -> Floats:
    """Last length k whose own token is reached with probability first * ratio**k >= worth."""
    rare = np.maximum(worth, _NEGLIGIBLE)
    falls = (ratio > 0.0) & (ratio < 1.0) & (first > rare)
    depth = np.ceil(
        np.log(rare / np.where(falls, first, 1.0)) / np.log(np.where(falls, ratio, 0.5))
    )
    last = np.where(falls, depth, np.where((ratio >= 1.0) & (first > rare), longest, 1.0))
    return np.asarray(np.clip(last, 1.0, longest))


def _best_count(start: Floats, step: Floats, gap: Floats, goal: Floats, most: int) -> Floats:
    """Return n >= 1 with the largest (T(n) - goal) / n; 1 where T does not grow."""

    def pays(count: Floats) -> npt.NDArray[np.bool_]:
        sums = geometric_sum_gap(gap, count)
        ahead = start + step * sums - goal
        growth = step * (1.0 - gap * sums)  # T(n + 1) - T(n)
        return np.asarray((step > 0.0) & (count * growth > ahead + _ROUNDING * goal))

    low = np.ones(start.shape)
    high = np.ones(start.shape)
    while (more := pays(high) & (high < most)).any():
        low = np.where(more, high + 1.0, low)
        high = np.where(more, np.minimum(2.0 * high, most), high)
    while (low < high).any():
        middle = np.floor(0.5 * (low + high))
        more = pays(middle) & (low < high)
        low, high = np.where(more, middle + 1.0, low), np.where(more, high, middle)
    return low
