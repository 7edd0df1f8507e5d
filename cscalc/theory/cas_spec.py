"""CAS-Spec: effective bounds of cascades, fixed-parameter bounds, and its step rules as printed.

Source of every numbered statement here: Ning, Shao, Xu, Guo, Zhang, Zhang, Li. "CAS-Spec: Cascade
Adaptive Self-Speculative Decoding." NeurIPS 2025, arXiv:2510.26843. d1 is the draft in question,
d2 the cheap draft (prompt lookup, say) that decodes alone otherwise; costs are in target passes.
"""

import numpy as np
import numpy.typing as npt

from cscalc._checks import (
    Floats,
    as_floats,
    check_costs,
    check_int,
    check_lengths,
    check_rates,
    check_shapes,
)
from cscalc.theory.cs_drafting import vertical_tokens
from cscalc.theory.effective import EffectiveBound as EffectiveBound
from cscalc.theory.effective import effective_bound as effective_bound
from cscalc.theory.effective import effective_bound_details as effective_bound_details
from cscalc.theory.horizontal import horizontal_tokens
from cscalc.theory.series import geometric_sum, unwrap
from cscalc.theory.speculative import optimal_length, speculative_ewif


def vertical_bound_at(
    alpha_d1: npt.ArrayLike,
    alpha_d2: npt.ArrayLike,
    cost_d2: npt.ArrayLike,
    rounds: npt.ArrayLike,
    length: npt.ArrayLike,
    length_alone: npt.ArrayLike,
    *,
    alpha_inner: npt.ArrayLike | None = None,
) -> Floats:
    r"""Cost of d1 at which a given vertical cascade only equals d2 alone (Appendix B, corrected).

    Parameters
    ----------
    alpha_d1, alpha_d2 : array_like
        Acceptance rate by the target of tokens of d1 and of d2, in [0, 1].
    cost_d2 : array_like
        Time of one pass of d2, in target passes, >= 0.
    rounds : array_like of int
        Review rounds of d1 per cycle, >= 1.
    length : array_like of int
        Tokens that d2 drafts per round, >= 0.
    length_alone : array_like of int
        Draft length of the rival, d2 alone, >= 0.
    alpha_inner : array_like, optional
        Acceptance rate of d2's tokens by d1; `alpha_d2` if not given, as in the paper's figures.

    Returns
    -------
    float or ndarray
        :math:`\frac1n [T_{VC} / T_{SD} - (1 + n k c_{d2})]` in target passes; negative where no
        d1 pays at these lengths. The appendix writes an EWIF where :math:`T_{VC}` needs the pgf
        of CS Drafting's Theorem 4.1; with the pgf both sides are equal at the bound.

    Raises
    ------
    ValueError
        If a rate, cost, count or length is out of its range.

    Examples
    --------
    >>> round(float(vertical_bound_at(0.8, 0.3, 0.01, 3, 4, 3)), 6)
    0.450085
    """
    check_shapes(
        alpha_d1=alpha_d1,
        alpha_d2=alpha_d2,
        cost_d2=cost_d2,
        rounds=rounds,
        length=length,
        length_alone=length_alone,
        alpha_inner=alpha_inner,
    )
    inner = alpha_d2 if alpha_inner is None else check_rates("alpha_inner", alpha_inner)
    cheap = check_rates("alpha_d2", alpha_d2)
    costs = check_costs("cost_d2", cost_d2)
    n_rounds = check_lengths("rounds", rounds, least=1)
    rival = speculative_ewif(cheap, costs, check_lengths("length_alone", length_alone))
    tokens = vertical_tokens(check_rates("alpha_d1", alpha_d1), inner, n_rounds, length)
    lengths = check_lengths("length", length)
    return unwrap((tokens / rival - 1.0) / n_rounds - lengths * costs)


def horizontal_bound_at(
    alpha_d1: npt.ArrayLike,
    alpha_d2: npt.ArrayLike,
    cost_d2: npt.ArrayLike,
    length_d1: npt.ArrayLike,
    length_d2: npt.ArrayLike,
    length_alone: npt.ArrayLike | None = None,
) -> Floats:
    r"""Cost of d1 at which a given horizontal cascade only equals d2 alone (Appendix B).

    Parameters
    ----------
    alpha_d1, alpha_d2 : array_like
        Acceptance rate by the target of tokens of d1 and of d2, in [0, 1].
    cost_d2 : array_like
        Time of one pass of d2, in target passes, >= 0.
    length_d1 : array_like of int
        Tokens that d1 drafts first, >= 1.
    length_d2 : array_like of int
        Tokens that d2 drafts after them, >= 0.
    length_alone : array_like of int, optional
        Draft length of the rival, d2 alone; `length_d2` if not given, as in the paper.

    Returns
    -------
    float or ndarray
        :math:`\frac1{k_1} [T_{HC} / T_{SD} - (1 + k_2 c_{d2})]` in target passes; negative where
        no d1 pays at these lengths.

    Raises
    ------
    ValueError
        If a rate, cost or length is out of its range.

    Examples
    --------
    >>> round(float(horizontal_bound_at(0.8, 0.3, 0.01, 2, 3)), 6)
    0.468799
    """
    check_shapes(
        alpha_d1=alpha_d1,
        alpha_d2=alpha_d2,
        cost_d2=cost_d2,
        length_d1=length_d1,
        length_d2=length_d2,
        length_alone=length_alone,
    )
    dear, cheap = check_rates("alpha_d1", alpha_d1), check_rates("alpha_d2", alpha_d2)
    costs = check_costs("cost_d2", cost_d2)
    first = check_lengths("length_d1", length_d1, least=1)
    second = check_lengths("length_d2", length_d2)
    alone = second if length_alone is None else check_lengths("length_alone", length_alone)
    dear, cheap, costs, first, second, alone = np.broadcast_arrays(
        dear, cheap, costs, first, second, alone
    )
    tokens = horizontal_tokens(
        np.stack([dear, cheap], axis=-1), np.stack([first, second], axis=-1)
    )
    rival = speculative_ewif(cheap, costs, alone)
    return unwrap((tokens / rival - 1.0 - second * costs) / first)


def horizontal_bound_line(
    alpha_d1: npt.ArrayLike, alpha_d2: npt.ArrayLike, cost_d2: npt.ArrayLike
) -> Floats:
    r"""Closed form of the horizontal effective bound: a straight line in `alpha_d1`.

    Parameters
    ----------
    alpha_d1, alpha_d2 : array_like
        Acceptance rate by the target of tokens of d1 and of d2, in [0, 1].
    cost_d2 : array_like
        Time of one pass of d2, in target passes, > 0.

    Returns
    -------
    float or ndarray
        :math:`1/T^* - (1 - \alpha_{d1})(1 + k_0^* c_{d2})`, with d2 alone at its best length
        :math:`k_0^*` and EWIF :math:`T^*`: what `horizontal_bound_at` gives with one token of d1
        and :math:`k_0^*` of d2. A lower bound of `effective_bound`, and within .001 of it where
        the best length of d2 in the cascade is :math:`k_0^*` too; negative where this cascade
        never pays.

    Raises
    ------
    ValueError
        If a rate or cost is out of its range, or d2 alone has no finite best length.

    Examples
    --------
    >>> round(float(horizontal_bound_line(0.9, 0.5, 0.01)), 3)
    0.428
    """
    check_shapes(alpha_d1=alpha_d1, alpha_d2=alpha_d2, cost_d2=cost_d2)
    dear, cheap = check_rates("alpha_d1", alpha_d1), check_rates("alpha_d2", alpha_d2)
    costs = check_costs("cost_d2", cost_d2)
    alone = optimal_length(cheap, costs)
    rival = speculative_ewif(cheap, costs, alone)
    return unwrap(1.0 / rival - (1.0 - dear) * (1.0 + alone * costs))


def dytc_objective(
    alpha: npt.ArrayLike,
    cost: npt.ArrayLike,
    alpha_bottom: npt.ArrayLike,
    cost_bottom: npt.ArrayLike,
    length: npt.ArrayLike,
) -> Floats:
    r"""Objective of dynamic tree cascades as printed, Eq. 5, without the path's probability.

    Parameters
    ----------
    alpha, cost : array_like
        Acceptance rate in [0, 1] and cost in target passes, >= 0, of the candidate draft.
    alpha_bottom, cost_bottom : array_like
        The same of the bottom draft, which drafts one token after the candidate.
    length : array_like of int
        Tokens that the candidate drafts, >= 1.

    Returns
    -------
    float or ndarray
        :math:`[\alpha (1 - \alpha^k) / (1 - \alpha) + \alpha^k \alpha_{dn}] / (c k + c_{dn})`,
        accepted tokens per target-pass time of drafting.

    Raises
    ------
    ValueError
        If a rate, cost or length is out of its range, or the drafting costs nothing at all.

    Notes
    -----
    The printed objective leaves out the target's own pass, so it prefers whatever is cheapest
    to draft: prompt lookup (.3, .01) scores 19.5, a good layer-skip draft (.8, .6) 1.7.

    Examples
    --------
    >>> round(float(dytc_objective(0.8, 0.6, 0.3, 0.01, 1)), 3)
    1.705
    """
    check_shapes(
        alpha=alpha, cost=cost, alpha_bottom=alpha_bottom, cost_bottom=cost_bottom, length=length
    )
    alphas, bottom = check_rates("alpha", alpha), check_rates("alpha_bottom", alpha_bottom)
    lengths = check_lengths("length", length, least=1)
    time = check_costs("cost", cost) * lengths + check_costs("cost_bottom", cost_bottom)
    if not np.all(time > 0.0):
        raise ValueError("cost * length + cost_bottom must be > 0, got 0: Eq. 5 divides by it")
    return unwrap((alphas * geometric_sum(alphas, lengths) + alphas**lengths * bottom) / time)


def dytc_best(
    alphas: npt.ArrayLike,
    costs: npt.ArrayLike,
    alpha_bottom: float,
    cost_bottom: float,
    *,
    max_length: int = 5,
) -> tuple[int, int]:
    """Candidate and length that maximise `dytc_objective`, Eq. 6.

    Parameters
    ----------
    alphas, costs : array_like, shape (candidates,)
        Acceptance rate and cost of each candidate draft.
    alpha_bottom, cost_bottom : float
        The same of the bottom draft.
    max_length : int
        Longest draft to consider, >= 1; the paper uses 5.

    Returns
    -------
    tuple of int
        Position of the candidate, and its length; the first and shortest on a tie.

    Raises
    ------
    ValueError
        If an argument is out of its range, or there is no candidate.

    Examples
    --------
    >>> dytc_best([0.9, 0.8], [0.4, 0.3], 0.8, 0.3)
    (1, 1)
    """
    check_shapes(alphas=alphas, costs=costs)
    rates, prices = np.broadcast_arrays(check_rates("alphas", alphas), check_costs("costs", costs))
    if rates.ndim != 1 or rates.size == 0:
        raise ValueError(f"alphas must be a list of candidates, got shape {rates.shape}")
    lengths = np.arange(1.0, check_int("max_length", max_length, least=1) + 1.0)
    score = dytc_objective(
        rates[:, np.newaxis], prices[:, np.newaxis], alpha_bottom, cost_bottom, lengths
    )
    best = int(np.flatnonzero(score >= score.max() * (1.0 - 1e-12))[0])  # rounding decides no tie
    candidate, longer = divmod(best, lengths.size)
    return candidate, longer + 1


def greedy_local_objective(
    alpha: npt.ArrayLike, cost: npt.ArrayLike, length: npt.ArrayLike, reach: npt.ArrayLike = 1.0
) -> Floats:
    r"""Greedy local objective that the paper rejects in favour of Eq. 5 (section 4.3).

    Parameters
    ----------
    alpha, cost : array_like
        Acceptance rate in [0, 1] and cost in target passes, > 0, of the candidate draft.
    length : array_like of int
        Tokens that the candidate drafts, >= 1.
    reach : array_like
        Probability that the path so far is accepted, in [0, 1].

    Returns
    -------
    float or ndarray
        :math:`\frac{\alpha (1 - \alpha^k)}{(1 - \alpha) c k} \prod_j \alpha_j`.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the cost is 0.

    Examples
    --------
    >>> round(float(greedy_local_objective(0.8, 0.3, 1)), 3)
    2.667
    """
    check_shapes(alpha=alpha, cost=cost, length=length, reach=reach)
    costs = check_costs("cost", cost)
    if not np.all(costs > 0.0):
        raise ValueError("cost must be > 0, got 0: the objective divides by it")
    alphas, lengths = check_rates("alpha", alpha), check_lengths("length", length, least=1)
    gain = alphas * geometric_sum(alphas, lengths) / (costs * lengths)
    return unwrap(gain * check_rates("reach", reach))


def updated_rate(previous: float, first_accepted: npt.ArrayLike, *, memory: float = 0.7) -> float:
    r"""Online estimate of an acceptance rate after new outcomes, Eq. 4.

    Parameters
    ----------
    previous : float
        Estimate so far, in [0, 1].
    first_accepted : array_like of bool, shape (window,)
        Of the last cycles of this draft (the paper keeps 20), whether the FIRST proposal was
        accepted. An empty window leaves the estimate as it is.
    memory : float
        Weight of the previous estimate, in [0, 1] (the paper's lambda, .7).

    Returns
    -------
    float
        :math:`\lambda \hat\alpha_{prev} + (1 - \lambda) \frac1H \sum_i o_i`, in [0, 1].

    Raises
    ------
    ValueError
        If a rate, the weight or an outcome is out of its range.

    Examples
    --------
    >>> round(updated_rate(0.5, [True, True, False, True]), 3)
    0.575
    """
    old, weight = float(check_rates("previous", previous)), float(check_rates("memory", memory))
    outcomes = as_floats("first_accepted", first_accepted)
    if not np.all((outcomes == 0.0) | (outcomes == 1.0)):
        raise ValueError(f"first_accepted must hold True and False, got {first_accepted!r}")
    return weight * old + (1.0 - weight) * float(outcomes.mean()) if outcomes.size else old
