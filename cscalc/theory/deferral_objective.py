"""What a deferral rule is to minimise, the rule that does, and the regret of its estimate."""

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_number, check_rates
from cscalc.theory._laws import check_pair

Bools = npt.NDArray[np.bool_]


def deferral_objective(
    draft_loss: npt.ArrayLike,
    target_loss: npt.ArrayLike,
    rejection: npt.ArrayLike,
    threshold: float,
    defer: npt.ArrayLike,
) -> float:
    r"""Mean of :math:`(1 - r) \ell_q + r (\ell_p + \alpha\, \mathrm{rejection})`.

    Parameters
    ----------
    draft_loss, target_loss : array_like, shape (contexts,)
        Expected loss of each model in each context.
    rejection : array_like, shape (contexts,)
        Price of a deferral, in [0, 1]: TV(p, q) when run speculatively, 1 when run in sequence.
    threshold : float
        The paper's alpha: loss that one rejection is worth.
    defer : array_like, shape (contexts,)
        r: 1 or True to defer; in between for a randomised rule.

    Returns
    -------
    float
        In units of the loss.

    Raises
    ------
    TypeError, ValueError
        If a rate is outside [0, 1] or shapes do not broadcast.

    Notes
    -----
    Narasimhan et al., ICLR 2025, arXiv:2405.19261, Eq. (8); with rejection = 1, Eq. (3).

    Examples
    --------
    >>> deferral_objective([0.5, 0.2], [0.1, 0.1], [0.5, 0.5], 0.4, [1, 0])
    0.25
    """
    chosen = check_rates("defer", as_floats("defer", defer))
    draft_losses, target_losses, price = _losses(draft_loss, target_loss, rejection, threshold)
    return float(np.mean((1.0 - chosen) * draft_losses + chosen * (target_losses + price)))


def optimal_deferral(
    draft_loss: npt.ArrayLike,
    target_loss: npt.ArrayLike,
    rejection: npt.ArrayLike,
    threshold: float,
) -> Bools:
    r"""The rule that minimises `deferral_objective`.

    Parameters
    ----------
    draft_loss, target_loss, rejection, threshold
        As in `deferral_objective`.

    Returns
    -------
    ndarray of bool, shape (contexts,)
        Defer iff :math:`\ell_q > \ell_p + \alpha\, \mathrm{rejection}`.

    Raises
    ------
    TypeError, ValueError
        As `deferral_objective`.

    Notes
    -----
    arXiv:2405.19261, Lemma 4 (Lemma 1 with rejection = 1).

    Examples
    --------
    >>> optimal_deferral([0.5, 0.2], [0.1, 0.1], [0.5, 0.5], 0.4).tolist()
    [True, False]
    """
    draft_losses, target_losses, price = _losses(draft_loss, target_loss, rejection, threshold)
    return np.asarray(draft_losses > target_losses + price)


def zero_one_loss(truth: npt.ArrayLike, law: npt.ArrayLike) -> Floats:
    """Chance that the likeliest token of `law` is wrong under `truth`.

    Parameters
    ----------
    truth, law : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.

    Returns
    -------
    ndarray, shape (...), float64
        In [0, 1].

    Raises
    ------
    ValueError
        If a law is not a law.

    Examples
    --------
    >>> float(zero_one_loss([0.25, 0.75], [0.9, 0.1]))
    0.75
    """
    true, guess = check_pair(truth, law)
    best = guess.argmax(axis=-1)[..., None]
    return np.asarray(1.0 - np.take_along_axis(true, best, axis=-1)[..., 0])


def log_loss(truth: npt.ArrayLike, law: npt.ArrayLike) -> Floats:
    """Expected log-loss of `law` under `truth`, in nats.

    Parameters
    ----------
    truth, law : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.

    Returns
    -------
    ndarray, shape (...), float64
        >= 0; infinite where `law` gives no mass to a token that `truth` has.

    Raises
    ------
    ValueError
        If a law is not a law.

    Examples
    --------
    >>> float(log_loss([0.5, 0.5], [0.5, 0.5]).round(6))
    0.693147
    """
    true, guess = check_pair(truth, law)
    missing = ((true > 0.0) & (guess <= 0.0)).any(axis=-1)
    terms = true * np.log(np.where(guess > 0.0, guess, 1.0))
    return np.asarray(np.where(missing, np.inf, np.maximum(0.0, -terms.sum(axis=-1))))


def plug_in_regret_bound(
    truth: npt.ArrayLike, target: npt.ArrayLike, draft: npt.ArrayLike
) -> Floats:
    r"""Largest regret of the rule `Opt` (0-1 loss) against `optimal_deferral`, per context.

    Parameters
    ----------
    truth, target, draft : array_like, shape (..., vocab)
        The true law P and the models' laws.

    Returns
    -------
    ndarray, shape (...), float64
        :math:`\max_v |p(v) - P(v)| + \max_v |q(v) - P(v)|`; its mean bounds the regret.

    Raises
    ------
    ValueError
        If a law is not a law.

    Notes
    -----
    arXiv:2405.19261, Lemma 5, with the absolute values that the printed statement lacks. The
    rule replaces :math:`P(\arg\max q)` by :math:`\max q`, and p alike; the two differences
    bound the error of the loss gap, and a wrong decision costs at most that.

    Examples
    --------
    >>> float(plug_in_regret_bound([0.5, 0.5], [0.5, 0.5], [0.75, 0.25]))
    0.25
    """
    true, p = check_pair(truth, target)
    _, q = check_pair(truth, draft)
    return np.asarray(np.abs(p - true).max(axis=-1) + np.abs(q - true).max(axis=-1))


def _losses(
    draft_loss: npt.ArrayLike,
    target_loss: npt.ArrayLike,
    rejection: npt.ArrayLike,
    threshold: float,
) -> tuple[Floats, Floats, Floats]:
    price = check_number("threshold", threshold) * check_rates("rejection", rejection)
    return as_floats("draft_loss", draft_loss), as_floats("target_loss", target_loss), price
