"""Vertical cascades: closed forms of CS Drafting, and their form for correlated acceptance.

Source of every numbered statement here: Chen, Yang, Lin, Sun, Chang, Huang. "Cascade Speculative
Drafting for Even Faster LLM Inference." NeurIPS 2024, arXiv:2312.11462. Model 0 is the target, d1
the draft model that it verifies, d2 the cheaper one that d1 reviews. Acceptance is independent;
an inner review runs a fixed number of rounds; costs are in target passes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_costs, check_lengths, check_rates, check_shapes
from cscalc.theory._laws import check_law
from cscalc.theory.horizontal import (
    horizontal_ewif as horizontal_ewif,  # the rest of the paper's closed forms, found here too
)
from cscalc.theory.horizontal import (
    horizontal_gradient as horizontal_gradient,
)
from cscalc.theory.horizontal import (
    horizontal_tokens as horizontal_tokens,
)
from cscalc.theory.series import geometric_sum, geometric_sum_gap, unwrap

_ACCURACY = 1e-12  # a relative gain below this is rounding


def review_pgf(x: npt.ArrayLike, alpha: npt.ArrayLike, length: npt.ArrayLike) -> Floats:
    r"""Probability generating function of the tokens one review round emits, Theorem 4.1.

    Parameters
    ----------
    x : array_like
        Argument, in [0, 1].
    alpha : array_like
        Acceptance rate of the draft's tokens by the reviewer, in [0, 1].
    length : array_like of int
        Draft length >= 0, in tokens.

    Returns
    -------
    float or ndarray
        :math:`\phi(x) = E[x^N] = 1 + (x - 1) \frac{1 - (\alpha x)^{k+1}}{1 - \alpha x}`, in
        [0, 1]; evaluated as a sum of positive terms, so small values are accurate too.

    Raises
    ------
    ValueError
        If `x`, a rate or a length is out of its range.

    Examples
    --------
    >>> round(float(review_pgf(0.6, 0.7, 5)), 9)
    0.314130367
    """
    check_shapes(x=x, alpha=alpha, length=length)
    points, alphas = check_rates("x", x), check_rates("alpha", alpha)
    lengths = check_lengths("length", length)
    ratio = np.asarray(alphas * points)
    stopped = (1.0 - alphas) * geometric_sum(ratio, lengths)
    return unwrap(points * (stopped + ratio**lengths))


def vertical_tokens(
    alpha: npt.ArrayLike, alpha_inner: npt.ArrayLike, rounds: npt.ArrayLike, length: npt.ArrayLike
) -> Floats:
    r"""Expected tokens per cycle of a vertical cascade, the numerator of Theorem 4.3.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate of d1's tokens by the target, in [0, 1].
    alpha_inner : array_like
        Acceptance rate of d2's tokens by d1, in [0, 1].
    rounds : array_like of int
        Review rounds of d1 per cycle, >= 0; 0 is plain decoding.
    length : array_like of int
        Tokens that d2 drafts per round, >= 0; with 0, d1 drafts alone, one token a round.

    Returns
    -------
    float or ndarray
        :math:`(1 - \alpha \phi(\alpha)^n) / (1 - \alpha)`, where :math:`\phi^n` is the n-th
        power of `review_pgf`; evaluated as :math:`1 + \alpha S_{k+1}(\alpha \alpha')
        S_n(\phi(\alpha))` with :math:`S_n(r) = 1 + r + \dots + r^{n-1}`, which has no singular
        point.

    Raises
    ------
    ValueError
        If a rate, count or length is out of its range.

    Examples
    --------
    >>> round(float(vertical_tokens(0.8, 0.5, 3, 2)), 6)
    3.697357
    """
    check_shapes(alpha=alpha, alpha_inner=alpha_inner, rounds=rounds, length=length)
    alphas, inner = check_rates("alpha", alpha), check_rates("alpha_inner", alpha_inner)
    n_rounds = check_lengths("rounds", rounds)
    lengths = check_lengths("length", length)
    kept = geometric_sum(np.asarray(alphas * inner), lengths + 1.0)
    gap = np.minimum((1.0 - alphas) * kept, 1.0)  # 1 - phi(alpha)
    return unwrap(1.0 + alphas * kept * geometric_sum_gap(gap, n_rounds))


def vertical_ewif(
    alpha: npt.ArrayLike,
    cost_d1: npt.ArrayLike,
    alpha_inner: npt.ArrayLike,
    cost_d2: npt.ArrayLike,
    rounds: npt.ArrayLike,
    length: npt.ArrayLike,
    *,
    one_shot: bool = False,
) -> Floats:
    r"""EWIF of a vertical cascade, Theorem 4.3: d1 reviews d2 for a fixed number of rounds.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate of d1's tokens by the target, in [0, 1].
    cost_d1 : array_like
        Time of one pass of d1, in target passes, >= 0.
    alpha_inner : array_like
        Acceptance rate of d2's tokens by d1, in [0, 1].
    cost_d2 : array_like
        Time of one pass of d2, in target passes, >= 0.
    rounds : array_like of int
        Review rounds of d1 per cycle, >= 0.
    length : array_like of int
        Tokens that d2 drafts per round, >= 0.
    one_shot : bool
        Whether d2 proposes all its tokens in one pass (Max-Gram), which costs n c instead of
        n k c.

    Returns
    -------
    float or ndarray
        :math:`\frac{1 - \alpha \phi(\alpha)^n}{(1 - \alpha)(1 + n c_{d1} + n k c_{d2})}`.

    Raises
    ------
    ValueError
        If a rate, cost, count or length is out of its range.

    Examples
    --------
    >>> round(float(vertical_ewif(0.8, 0.1, 0.5, 0.01, 3, 2)), 6)
    2.718645
    """
    check_shapes(
        alpha=alpha,
        cost_d1=cost_d1,
        alpha_inner=alpha_inner,
        cost_d2=cost_d2,
        rounds=rounds,
        length=length,
    )
    tokens = vertical_tokens(alpha, alpha_inner, rounds, length)
    lengths = check_lengths("length", length)
    passes_d2 = np.minimum(lengths, 1.0) if one_shot else lengths
    round_cost = check_costs("cost_d1", cost_d1) + passes_d2 * check_costs("cost_d2", cost_d2)
    return unwrap(tokens / (1.0 + check_lengths("rounds", rounds) * round_cost))


def vertical_beats_reviewer_alone(
    alpha: npt.ArrayLike,
    cost_d1: npt.ArrayLike,
    alpha_inner: npt.ArrayLike,
    cost_d2: npt.ArrayLike,
    rounds: npt.ArrayLike,
    length: npt.ArrayLike,
    *,
    one_shot: bool = False,
) -> npt.NDArray[np.bool_]:
    """Whether the vertical cascade beats d1 drafting alone with as many passes of d1.

    Corollary 4.4 says that it does wherever d2 is nearly free and alpha lies in (0, 1): each
    round then emits more than the one token that a pass of d1 alone gives. It says nothing about
    d2 drafting alone; for that see `cscalc.effective_bound`.

    Parameters
    ----------
    alpha, cost_d1, alpha_inner, cost_d2, rounds, length, one_shot
        As in `vertical_ewif`; the rival is d1 drafting `rounds` tokens.

    Returns
    -------
    bool or ndarray of bool
        True if the cascade's EWIF is larger by more than rounding (relative 1e-12).

    Raises
    ------
    ValueError
        If a rate, cost, count or length is out of its range.

    Examples
    --------
    >>> bool(vertical_beats_reviewer_alone(0.8, 0.1, 0.5, 0.001, 3, 2))
    True
    >>> bool(vertical_beats_reviewer_alone(0.8, 0.1, 0.5, 0.2, 3, 2))
    False
    """
    check_shapes(
        alpha=alpha,
        cost_d1=cost_d1,
        alpha_inner=alpha_inner,
        cost_d2=cost_d2,
        rounds=rounds,
        length=length,
    )
    cascade = vertical_ewif(
        alpha, cost_d1, alpha_inner, cost_d2, rounds, length, one_shot=one_shot
    )
    alone = vertical_ewif(alpha, cost_d1, alpha_inner, cost_d2, rounds, 0)
    wins: npt.NDArray[np.bool_] = np.asarray(cascade > alone * (1.0 + _ACCURACY))[()]
    return wins


def correlated_vertical_tokens(
    alpha_inner: npt.ArrayLike,
    alpha_accepted: npt.ArrayLike,
    alpha_corrected: npt.ArrayLike,
    rounds: npt.ArrayLike,
    length: npt.ArrayLike,
) -> Floats:
    r"""Expected tokens of a vertical cascade whose target treats corrections differently.

    In lossless sampling, a token of d2 that d1 accepted and a token that d1 put in its place
    have different chances with the target (`conditional_rates`). Theorem 4.3 takes one rate for
    both; this form keeps them apart and is exact for context-free laws.

    Parameters
    ----------
    alpha_inner : array_like
        Acceptance rate of d2's tokens by d1, in [0, 1].
    alpha_accepted, alpha_corrected : array_like
        Acceptance rate by the target of tokens that d1 accepted, and of tokens that d1 corrected,
        in [0, 1].
    rounds, length : array_like of int
        As in `vertical_tokens`.

    Returns
    -------
    float or ndarray
        With :math:`\alpha = \alpha' \alpha_A + (1 - \alpha') \alpha_R`,
        :math:`u = \alpha' \alpha_A`, :math:`f = \alpha \sum_{i \le k} u^i` and
        :math:`s = (1 - \alpha') \alpha_R \sum_{i<k} u^i + u^k \alpha`:
        :math:`1 + f (1 - s^n) / (1 - s)`. Equal to `vertical_tokens` when the two rates are.

    Raises
    ------
    ValueError
        If a rate, count or length is out of its range.

    Examples
    --------
    >>> round(float(correlated_vertical_tokens(0.8, 0.75, 1.0, 2, 3)), 6)
    3.724004
    """
    check_shapes(
        alpha_inner=alpha_inner,
        alpha_accepted=alpha_accepted,
        alpha_corrected=alpha_corrected,
        rounds=rounds,
        length=length,
    )
    inner = check_rates("alpha_inner", alpha_inner)
    accepted = check_rates("alpha_accepted", alpha_accepted)
    corrected = check_rates("alpha_corrected", alpha_corrected)
    n_rounds = check_lengths("rounds", rounds)
    lengths = check_lengths("length", length)
    alpha = inner * accepted + (1.0 - inner) * corrected
    kept = geometric_sum(np.asarray(inner * accepted), lengths + 1.0)
    # s enters through 1 - s = (1 - alpha) kept, a sum of positive terms
    missed = inner * (1.0 - accepted) + (1.0 - inner) * (1.0 - corrected)  # 1 - alpha
    gap = np.minimum(missed * kept, 1.0)
    return unwrap(1.0 + alpha * kept * geometric_sum_gap(gap, n_rounds))


@dataclass(frozen=True, slots=True)
class ConditionalRates:
    """Acceptance rates of one context of a vertical cascade.

    Attributes
    ----------
    alpha : float or ndarray
        The target accepts a token of d1.
    alpha_inner : float or ndarray
        d1 accepts a token of d2.
    alpha_accepted : float or ndarray
        The target accepts a token of d2 that d1 accepted; 0 where d1 accepts none.
    alpha_corrected : float or ndarray
        The target accepts a token that d1 put in place of d2's; 0 where d1 accepts all.

    Examples
    --------
    >>> rates = conditional_rates([0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.1, 0.5, 0.4])
    >>> round(float(rates.alpha), 3), round(float(rates.alpha_inner), 3)
    (0.8, 0.8)
    """

    alpha: Floats
    alpha_inner: Floats
    alpha_accepted: Floats
    alpha_corrected: Floats


def conditional_rates(
    target: npt.ArrayLike, reviewer: npt.ArrayLike, draft: npt.ArrayLike
) -> ConditionalRates:
    r"""Acceptance rates, conditional on the inner review, from the three models' laws.

    Parameters
    ----------
    target, reviewer, draft : array_like, shape (..., vocab_size)
        Laws of the target, of d1 and of d2 in the same context; rows sum to 1.

    Returns
    -------
    ConditionalRates
        :math:`\alpha_A = \sum_x \min(q_1, q_2) \min(1, p/q_1) / \alpha'` and
        :math:`\alpha_R = \sum_x (q_1 - q_2)_+ \min(1, p/q_1) / (1 - \alpha')`, so that
        :math:`\alpha = \alpha' \alpha_A + (1 - \alpha') \alpha_R`. Each has shape (...).

    Raises
    ------
    ValueError
        If a law is not a law.

    Examples
    --------
    >>> rates = conditional_rates([0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.1, 0.5, 0.4])
    >>> round(float(rates.alpha_accepted), 3), round(float(rates.alpha_corrected), 3)
    (0.75, 1.0)
    """
    p, q1 = check_law("target", target), check_law("reviewer", reviewer)
    q2 = check_law("draft", draft)
    keep = np.minimum(p, q1) / np.where(q1 > 0.0, q1, 1.0)  # (..., vocab): min(1, p / q1)
    both = np.minimum(q1, q2)
    excess = np.maximum(q1 - q2, 0.0)
    inner, corrected = both.sum(axis=-1), excess.sum(axis=-1)
    if_accepted = (both * keep).sum(axis=-1) / np.where(inner > 0.0, inner, 1.0)
    if_corrected = (excess * keep).sum(axis=-1) / np.where(corrected > 0.0, corrected, 1.0)
    sums = (np.minimum(p, q1).sum(axis=-1), inner, if_accepted, if_corrected)
    # a sum of rounded probabilities may end a few units in the last place above 1
    return ConditionalRates(*(unwrap(np.minimum(total, 1.0)) for total in sums))
