"""Expected tokens of token-wise and block verification, by exact enumeration of drafted blocks.

Laws may be the same at every position (`length` given, one-dimensional `target` and `draft`), or
follow the drafted prefix (`length` omitted): then both are sequences of arrays, array i of shape
(vocab,) * (i + 1) holding the law of position i + 1 after every prefix of i tokens.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from cscalc._checks import Floats, check_int
from cscalc.theory._laws import check_law, check_pair

MAX_BLOCKS = 20_000_000  # drafted blocks held at once, 160 MB an array

Laws = Any  # a law (array_like), or a list or tuple with an array_like per position


def tokenwise_survival(target: Laws, draft: Laws, length: int | None = None) -> Floats:
    r"""P(at least i proposals are accepted), i = 1..length, when each token is judged alone.

    Parameters
    ----------
    target, draft : array_like or sequence of array_like
        Laws, as in the module's first paragraph. A sequence for `target` may hold one more
        array, the law of the bonus token, which does not matter here.
    length : int, optional
        Draft length >= 1 with one law for all positions.

    Returns
    -------
    ndarray, shape (length,), float64
        :math:`\sum_{x_1..x_i} \prod_j \min(p_j, q_j)`.

    Raises
    ------
    TypeError, ValueError
        If a law is not a law, shapes do not fit, or the blocks are too many to enumerate.

    Notes
    -----
    Leviathan, Kalman, Matias, ICML 2023, arXiv:2211.17192, Algorithm 1.

    Examples
    --------
    >>> tokenwise_survival([1 / 3, 2 / 3], [2 / 3, 1 / 3], 2).round(6).tolist()
    [0.666667, 0.444444]
    """
    if length is not None:
        p, q, count = _one_law(target, draft, length)
        return np.asarray(np.minimum(p, q).sum() ** np.arange(1, count + 1))
    ps, qs = _prefix_laws(target, draft)
    survival = np.empty(len(qs))
    kept = np.ones(())
    for i, (p, q) in enumerate(zip(ps, qs, strict=True)):
        kept = kept[..., None] * np.minimum(p, q)  # (vocab,) * (i + 1)
        survival[i] = kept.sum()
    return survival


def block_survival(target: Laws, draft: Laws, length: int | None = None) -> Floats:
    r"""P(at least i proposals are accepted), i = 1..length, under block verification.

    Parameters
    ----------
    target, draft : array_like or sequence of array_like
        Laws, as in `tokenwise_survival`.
    length : int, optional
        Draft length >= 1 with one law for all positions.

    Returns
    -------
    ndarray, shape (length,), float64
        :math:`E_q[b_i]` with :math:`b_0 = 1, b_i = \min(1, b_{i-1} p_i(x_i)/q_i(x_i))`.

    Raises
    ------
    TypeError, ValueError
        As `tokenwise_survival`.

    Notes
    -----
    Sun et al., "Block verification accelerates speculative decoding", ICLR 2025,
    arXiv:2403.10444. The algorithm accepts at least i tokens of a block with chance exactly
    :math:`b_i` (tested against its accept coins, one by one). Weighted with the draft's law,
    :math:`q(x_{1..i}) b_i = \min(q(x_{1..i}),\; q(x_{1..i-1}) b_{i-1} p_i)` needs no division.

    Examples
    --------
    >>> block_survival([1 / 3, 2 / 3], [2 / 3, 1 / 3], 2).round(6).tolist()
    [0.666667, 0.555556]
    """
    if length is not None:
        return _merged_survival(target, draft, length, clip=True)
    ps, qs = _prefix_laws(target, draft)
    survival = np.empty(len(qs))
    drafted = kept = np.ones(())
    for i, (p, q) in enumerate(zip(ps, qs, strict=True)):
        drafted = drafted[..., None] * q  # (vocab,) * (i + 1)
        kept = np.minimum(drafted, kept[..., None] * p)
        survival[i] = kept.sum()
    return survival


def full_information_survival(target: Laws, draft: Laws, length: int | None = None) -> Floats:
    r"""Largest P(at least i proposals are accepted) of any verifier that sees all laws.

    Parameters
    ----------
    target, draft : array_like or sequence of array_like
        Laws, as in `tokenwise_survival`.
    length : int, optional
        Draft length >= 1 with one law for all positions.

    Returns
    -------
    ndarray, shape (length,), float64
        :math:`\sum_{x_1..x_i} \min(\prod_j p_j, \prod_j q_j)`, each i bounded by itself (no
        coupling of the two laws of i tokens agrees more often).

    Raises
    ------
    TypeError, ValueError
        As `tokenwise_survival`.

    Examples
    --------
    >>> full_information_survival([1 / 3, 2 / 3], [2 / 3, 1 / 3], 2).round(6).tolist()
    [0.666667, 0.666667]
    """
    if length is not None:
        return _merged_survival(target, draft, length, clip=False)
    ps, qs = _prefix_laws(target, draft)
    survival = np.empty(len(qs))
    wanted = drafted = np.ones(())
    for i, (p, q) in enumerate(zip(ps, qs, strict=True)):
        wanted, drafted = wanted[..., None] * p, drafted[..., None] * q  # (vocab,) * (i + 1)
        survival[i] = np.minimum(wanted, drafted).sum()
    return survival


def tokenwise_tokens(target: Laws, draft: Laws, length: int | None = None) -> float:
    """Expected tokens per cycle of token-wise verification, the extra token included.

    Parameters
    ----------
    target, draft : array_like or sequence of array_like
        Laws, as in `tokenwise_survival`.
    length : int, optional
        Draft length >= 1 with one law for all positions.

    Returns
    -------
    float
        Tokens per cycle, between 1 and length + 1.

    Raises
    ------
    TypeError, ValueError
        As `tokenwise_survival`.

    Examples
    --------
    >>> round(tokenwise_tokens([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 4), 4)
    2.7731
    """
    return _tokens(tokenwise_survival, target, draft, length)


def block_tokens(target: Laws, draft: Laws, length: int | None = None) -> float:
    """Expected tokens per cycle of block verification, the extra token included.

    Parameters
    ----------
    target, draft : array_like or sequence of array_like
        Laws, as in `tokenwise_survival`.
    length : int, optional
        Draft length >= 1 with one law for all positions.

    Returns
    -------
    float
        Tokens per cycle; never below `tokenwise_tokens`, never above
        `full_information_tokens` (Sun et al., arXiv:2403.10444).

    Raises
    ------
    TypeError, ValueError
        As `tokenwise_survival`.

    Examples
    --------
    >>> round(block_tokens([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 4), 4)
    3.1736
    """
    return _tokens(block_survival, target, draft, length)


def full_information_tokens(target: Laws, draft: Laws, length: int | None = None) -> float:
    """Upper limit on expected tokens per cycle of any lossless verifier of one drafted block.

    Parameters
    ----------
    target, draft : array_like or sequence of array_like
        Laws, as in `tokenwise_survival`.
    length : int, optional
        Draft length >= 1 with one law for all positions.

    Returns
    -------
    float
        Tokens per cycle, the extra token included.

    Raises
    ------
    TypeError, ValueError
        As `tokenwise_survival`.

    Examples
    --------
    >>> round(full_information_tokens([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 4), 4)
    3.4655
    """
    return _tokens(full_information_survival, target, draft, length)


def _tokens(
    survival: Callable[[Laws, Laws, int | None], Floats],
    target: Laws,
    draft: Laws,
    length: int | None,
) -> float:
    return float(1.0 + survival(target, draft, length).sum())


def _merged_survival(target: Laws, draft: Laws, length: int, *, clip: bool) -> Floats:
    """Mean of min(1, ratio) over drafted blocks, equal ratios merged after every position."""
    p, q, count = _one_law(target, draft, length)
    possible = q > 0.0
    step, chance = p[possible] / q[possible], q[possible]
    ratio: Floats = np.ones(1)
    weight: Floats = np.ones(1)  # (states,): p/q of the block so far; its q-mass
    survival = np.empty(count)
    for i in range(count):
        _check_work(ratio.size * step.size)
        ratio = np.multiply.outer(ratio, step).ravel()
        weight = np.multiply.outer(weight, chance).ravel()
        if clip:
            ratio = np.minimum(1.0, ratio)
        key = np.round(ratio / (1.0 + ratio), 13)  # one key for one product in any order
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
        ratio, weight = ratio[first], np.asarray(np.bincount(group, weight), np.float64)
        survival[i] = weight @ np.minimum(1.0, ratio)
    return survival


def _one_law(target: Laws, draft: Laws, length: object) -> tuple[Floats, Floats, int]:
    p, q = check_pair(target, draft)
    if p.ndim != 1:
        raise ValueError(f"with length given, target and draft must be 1-D, got shape {p.shape}")
    return p, q, check_int("length", length, least=1)


def _prefix_laws(target: Laws, draft: Laws) -> tuple[list[Floats], list[Floats]]:
    for name, laws in (("target", target), ("draft", draft)):
        if not isinstance(laws, list | tuple) or not laws:
            raise TypeError(
                f"{name} must be a list or tuple with an array per position; "
                f"give length= for one law at all positions"
            )
    ps = [check_law(f"target[{i}]", law) for i, law in enumerate(target)]
    qs = [check_law(f"draft[{i}]", law) for i, law in enumerate(draft)]
    if len(ps) not in (len(qs), len(qs) + 1):
        raise ValueError(
            f"target must hold as many laws as draft, {len(qs)}, or one more, got {len(ps)}"
        )
    vocab = qs[0].shape[-1]
    for name, laws in (("target", ps), ("draft", qs)):
        for i, law in enumerate(laws):
            if law.shape != (vocab,) * (i + 1):
                raise ValueError(
                    f"{name}[{i}] must have shape {(vocab,) * (i + 1)}, one axis per drafted "
                    f"token before it, got {law.shape}"
                )
    _check_work(vocab ** len(qs))
    return ps[: len(qs)], qs


def _check_work(blocks: int) -> None:
    if blocks > MAX_BLOCKS:
        raise ValueError(
            f"{blocks} drafted blocks are too many to enumerate (limit {MAX_BLOCKS}): "
            f"use a shorter draft or a smaller vocabulary"
        )
