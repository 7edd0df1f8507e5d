"""Chains of models and collaborative decoding: Polybasic and CoS.

Sources: Wang et al., "Polybasic Speculative Decoding Through a Theoretical Perspective", ICML
2025, arXiv:2510.26527; Fu et al., "Collaborative decoding via Speculation" (CoS), ICML 2025,
arXiv:2502.01662. In a chain every model reviews what the next one hands it.
"""

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_costs, check_lengths, check_rates, check_shapes
from cscalc.theory.series import capped_variance, geometric_sum, unwrap


def chain_time(
    tokens: npt.ArrayLike,
    mean_emitted: npt.ArrayLike,
    pass_times: npt.ArrayLike,
    drafting_passes: npt.ArrayLike,
) -> Floats:
    r"""Time in which a chain of models emits `tokens` tokens, Polybasic Lemma 3.1.

    Parameters
    ----------
    tokens : array_like
        Tokens to emit, N >= 0.
    mean_emitted : array_like, shape (..., models - 1)
        Mean tokens that each reviewing model emits per pass, > 0, target first (the paper's
        acceptance lengths :math:`L_i`).
    pass_times : array_like, shape (..., models)
        Time of one pass of each model, >= 0, target first, in any one unit.
    drafting_passes : array_like
        Passes of the last model per pass of the model before it, >= 0 (the paper's beta).

    Returns
    -------
    float or ndarray, shape (...)
        :math:`\sum_{i<n} \frac{N}{L_i} T_i + \beta \frac{N}{L_{n-1}} T_n`, in the unit of
        `pass_times`.

    Raises
    ------
    ValueError
        If an argument is out of its range or the shapes do not fit.

    Examples
    --------
    >>> float(chain_time(100, [4.0, 2.0], [1.0, 0.2, 0.01], 3))
    36.5
    """
    count = check_costs("tokens", tokens)
    emitted = _positive("mean_emitted", mean_emitted)
    times = check_costs("pass_times", pass_times)
    beta = check_costs("drafting_passes", drafting_passes)
    if emitted.ndim == 0 or times.ndim == 0 or times.shape[-1] != emitted.shape[-1] + 1:
        raise ValueError(
            f"pass_times needs one entry more than mean_emitted, got shapes {times.shape} and "
            f"{emitted.shape}: the last model reviews nothing"
        )
    reviews = (times[..., :-1] / emitted).sum(axis=-1)
    return unwrap(count * (reviews + beta * times[..., -1] / emitted[..., -1]))


def insertion_threshold_before(
    emitted_new: npt.ArrayLike, emitted_now: npt.ArrayLike, emitted_after: npt.ArrayLike
) -> Floats:
    r"""Cost ratio below which inserting a model into a chain pays, Polybasic Theorem 3.2 (first).

    Parameters
    ----------
    emitted_new : array_like
        Mean tokens per pass of the new model, :math:`L_{new}` > 0.
    emitted_now : array_like
        Mean tokens per pass of the model in front of it, without it, :math:`L_i` > 0.
    emitted_after : array_like
        The same with the new model behind it, :math:`L_{i-new}` > 0.

    Returns
    -------
    float or ndarray
        :math:`L_{new} (1/L_i - 1/L_{i-new})`. If ``T_new / T_i`` is smaller, the chain with the
        new model is faster, provided that the drafting term does not rise
        (:math:`L_{new} \ge L_i`). Sufficient only, though the paper states "if and only if";
        below 0 no cost meets it.

    Raises
    ------
    ValueError
        If a mean is not positive.

    Examples
    --------
    >>> round(float(insertion_threshold_before(4.67, 4.34, 6.26)), 6)
    0.33003
    """
    check_shapes(emitted_new=emitted_new, emitted_now=emitted_now, emitted_after=emitted_after)
    new, now = _positive("emitted_new", emitted_new), _positive("emitted_now", emitted_now)
    return unwrap(new * (1.0 / now - 1.0 / _positive("emitted_after", emitted_after)))


def insertion_threshold_behind(
    drafting_passes: npt.ArrayLike, emitted_new: npt.ArrayLike, emitted_now: npt.ArrayLike
) -> Floats:
    r"""Cost ratio below which inserting a model into a chain pays, Polybasic Theorem 3.2 (second).

    Parameters
    ----------
    drafting_passes : array_like
        Passes of the last model per pass of the one before it, beta >= 0.
    emitted_new : array_like
        Mean tokens of the new model per pass over the model behind it,
        :math:`L_{new-(i+1)}` > 0.
    emitted_now : array_like
        Mean tokens per pass of the model in front, without the new one, :math:`L_i` > 0.

    Returns
    -------
    float or ndarray
        :math:`\beta (L_{new-(i+1)} / L_i - 1)`. If ``T_new / T_{i+1}`` is smaller, the chain
        with the new model is faster, provided that model i does not fall back
        (:math:`L_{i-new} \ge L_i`); sufficient only.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> float(insertion_threshold_behind(4, 6.0, 4.0))
    2.0
    """
    check_shapes(drafting_passes=drafting_passes, emitted_new=emitted_new, emitted_now=emitted_now)
    beta = check_costs("drafting_passes", drafting_passes)
    ratio = _positive("emitted_new", emitted_new) / _positive("emitted_now", emitted_now)
    return unwrap(beta * (ratio - 1.0))


def capped_length_mean(alpha: npt.ArrayLike, cap: npt.ArrayLike) -> Floats:
    r"""Mean tokens per pass when a run of accepted tokens is capped at `cap`, in a chain.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate, in [0, 1].
    cap : array_like of int
        Most tokens per pass, >= 1 (draft length + 1 when the bonus token counts).

    Returns
    -------
    float or ndarray
        :math:`(1 - \alpha^n) / (1 - \alpha)`, in [1, cap].

    Raises
    ------
    ValueError
        If a rate or cap is out of its range.

    Examples
    --------
    >>> round(float(capped_length_mean(0.7, 5)), 4)
    2.7731
    """
    check_shapes(alpha=alpha, cap=cap)
    return unwrap(geometric_sum(check_rates("alpha", alpha), check_lengths("cap", cap, least=1)))


def capped_length_variance(alpha: npt.ArrayLike, cap: npt.ArrayLike) -> Floats:
    r"""Variance of the tokens per pass when a run is capped at `cap`.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate, in [0, 1].
    cap : array_like of int
        Most tokens per pass, >= 1.

    Returns
    -------
    float or ndarray
        :math:`[\alpha (1 - \alpha^{2n-1}) - (2n - 1) \alpha^n (1 - \alpha)] / (1 - \alpha)^2`,
        >= 0, and 0 at alpha 0 and 1. It replaces the variance of Polybasic's Theorem 3.3, which
        is negative as printed.

    Raises
    ------
    ValueError
        If a rate or cap is out of its range.

    Examples
    --------
    >>> round(float(capped_length_variance(0.7, 5)), 6)
    2.421816
    """
    check_shapes(alpha=alpha, cap=cap)
    lengths = check_lengths("cap", cap, least=1)
    return unwrap(capped_variance(check_rates("alpha", alpha), lengths))


def cos_speedup(alpha: npt.ArrayLike, cost: npt.ArrayLike, length: npt.ArrayLike) -> Floats:
    r"""Speed-up of speculative collaborative decoding without a bonus token, CoS Theorem 3.1.

    Parameters
    ----------
    alpha : array_like
        Rate at which the ensemble accepts the proposal model's tokens, in [0, 1].
    cost : array_like
        Time of one pass of the proposal model, in passes of the other model, >= 0.
    length : array_like of int
        Tokens proposed per cycle, >= 1.

    Returns
    -------
    float or ndarray
        :math:`\frac{(1 - \alpha^\gamma)(1 + c)}{(1 - \alpha)(1 + c \gamma)}` over plain
        collaborative decoding, which runs both models for every token (1 + c).

    Raises
    ------
    ValueError
        If a rate, cost or length is out of its range.

    Examples
    --------
    >>> round(float(cos_speedup(0.8, 0.2, 4)), 3)
    1.968
    """
    check_shapes(alpha=alpha, cost=cost, length=length)
    costs = check_costs("cost", cost)
    lengths = check_lengths("length", length, least=1)
    tokens = geometric_sum(check_rates("alpha", alpha), lengths)
    return unwrap(tokens * (1.0 + costs) / (1.0 + costs * lengths))


def cos_alternate_speedup(
    alpha: npt.ArrayLike,
    cost: npt.ArrayLike,
    length_draft: npt.ArrayLike,
    length_target: npt.ArrayLike,
) -> Floats:
    r"""Speed-up of collaborative decoding in which both models propose in turn, CoS Theorem 3.6.

    Parameters
    ----------
    alpha : array_like
        Rate at which the ensemble accepts a proposal, in [0, 1].
    cost : array_like
        Time of one pass of the cheaper model, in passes of the dearer, >= 0.
    length_draft : array_like of int
        Tokens the cheaper model proposes per turn, >= 1 (the paper's :math:`\gamma_q`).
    length_target : array_like of int
        Tokens the dearer model proposes per turn, >= 1 (:math:`\gamma_p`).

    Returns
    -------
    float or ndarray
        :math:`\frac{(1 - \alpha^{\gamma_q})(1 + c)}{(1 - \alpha)
        (1 + c \gamma_q - \alpha^{\gamma_p} c)}` over plain collaborative decoding.

    Raises
    ------
    ValueError
        If a rate, cost or length is out of its range.

    Examples
    --------
    >>> round(float(cos_alternate_speedup(0.8, 0.2, 4, 4)), 6)
    2.061836
    """
    check_shapes(alpha=alpha, cost=cost, length_draft=length_draft, length_target=length_target)
    alphas, costs = check_rates("alpha", alpha), check_costs("cost", cost)
    first = check_lengths("length_draft", length_draft, least=1)
    second = check_lengths("length_target", length_target, least=1)
    time = 1.0 + costs * (first - alphas**second)
    return unwrap(geometric_sum(alphas, first) * (1.0 + costs) / time)


def _positive(name: str, values: npt.ArrayLike) -> Floats:
    numbers = as_floats(name, values)
    good = np.isfinite(numbers) & (numbers > 0.0)
    if not np.all(good):
        worst = numbers[~good].flat[0]
        raise ValueError(f"{name} must be finite and > 0, got {worst:g}: give mean tokens")
    return numbers
