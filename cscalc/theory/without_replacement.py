"""Sequoia's verifier: several distinct proposals for one token, drawn without replacement."""

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_int
from cscalc.theory._laws import check_pair, normalised

MAX_ENTRIES = 20_000_000  # rejected sequences times vocabulary held at once, about 160 MB an array


def without_replacement_acceptance(
    target: npt.ArrayLike, draft: npt.ArrayLike, proposals: int
) -> Floats:
    r"""Acceptance of Sequoia's verifier, whose proposals are drawn without replacement.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    proposals : int
        Distinct draws from `draft`, from 1 to the vocabulary's size.

    Returns
    -------
    ndarray, shape (...), float64
        Chance that one is accepted; it may exceed `optimal_acceptance`, which is the optimum
        over independent proposals only.

    Raises
    ------
    TypeError, ValueError
        If `proposals` is not an int in 1..vocab, a law is not a law, or the rejected sequences
        are too many to enumerate.

    Notes
    -----
    As recursive rejection, but a rejected token is removed from the draft law, which is then
    normalised; when its support is used up, the draft is uniform over the tokens not yet tried.
    Chen et al., "Sequoia", NeurIPS 2024, arXiv:2402.12374. The value is a sum over
    the sequences of rejected tokens, at most :math:`V^{K-1}`.

    Examples
    --------
    >>> float(without_replacement_acceptance([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 2).round(12))
    0.975
    """
    return _without_replacement(target, draft, proposals)[0]


def without_replacement_law(target: npt.ArrayLike, draft: npt.ArrayLike, proposals: int) -> Floats:
    """Law of the token that Sequoia's verifier emits; it equals the target.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    proposals : int
        Distinct draws from `draft`, from 1 to the vocabulary's size.

    Returns
    -------
    ndarray, shape (..., vocab), float64
        Accepted mass plus the residuals' mass over all sequences of rejected tokens.

    Raises
    ------
    TypeError, ValueError
        As `without_replacement_acceptance`.

    Examples
    --------
    >>> without_replacement_law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 2).round(12).tolist()
    [0.3, 0.5, 0.2]
    """
    return _without_replacement(target, draft, proposals)[1]


def _without_replacement(
    target: npt.ArrayLike, draft: npt.ArrayLike, proposals: int
) -> tuple[Floats, Floats]:
    p, q = check_pair(target, draft)
    count = check_int("proposals", proposals, least=1)
    vocab = p.shape[-1]
    if count > vocab:
        raise ValueError(f"proposals must be <= the {vocab} tokens of the vocabulary, got {count}")
    reject = np.empty(p.shape[:-1])
    law = np.empty(p.shape)
    for row in np.ndindex(*p.shape[:-1]):
        reject[row], law[row] = _without_replacement_row(p[row], q[row], count)
    return np.asarray(1.0 - reject), law


def _without_replacement_row(target: Floats, draft: Floats, count: int) -> tuple[float, Floats]:
    """P(all rejected) and the emitted law in one context; all paths of one length at a time."""
    vocab = target.size
    reach = np.ones(1)  # (paths,)
    residual = target[None]  # (paths, vocab)
    proposal = draft[None]  # (paths, vocab)
    tried = np.zeros((1, vocab), dtype=bool)
    law = np.zeros(vocab)
    for step in range(count):
        law += reach @ np.minimum(residual, proposal)
        excess = np.maximum(0.0, proposal - residual)  # (paths, vocab): drawn and rejected
        residual = normalised(np.maximum(0.0, residual - proposal), residual)
        if step == count - 1:
            reach = reach * excess.sum(axis=1)
            break
        path, token = np.nonzero(excess)
        if path.size * vocab > MAX_ENTRIES:
            raise ValueError(
                f"proposals={count} over {vocab} tokens needs {path.size} rejected sequences: "
                f"use fewer proposals or a smaller vocabulary"
            )
        reach = reach[path] * excess[path, token]
        residual, tried = residual[path], tried[path]
        tried[np.arange(path.size), token] = True
        left = np.where(tried, 0.0, draft)
        proposal = normalised(left, normalised(np.where(tried, 0.0, 1.0), left))
    return float(reach.sum()), law + reach @ residual
