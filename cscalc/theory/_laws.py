"""Checks of one-token laws: arrays whose last axis is the vocabulary and whose rows sum to 1."""

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats

SUM_TOLERANCE = 1e-6  # a float32 softmax cast to float64 misses 1 by about this much


def check_law(name: str, values: npt.ArrayLike) -> Floats:
    """Return `values` as float64 laws, shape (..., vocab): non-negative, rows summing to 1.

    Examples
    --------
    >>> check_law("target", [0.25, 0.75]).tolist()
    [0.25, 0.75]
    """
    law = as_floats(name, values)
    if law.ndim == 0 or law.shape[-1] == 0:
        raise ValueError(
            f"{name} needs a last axis over the vocabulary, got shape {law.shape}: give a list of "
            f"probabilities"
        )
    if not np.all(law >= 0.0):  # also true for nan
        worst = law[~(law >= 0.0)].flat[0]
        raise ValueError(f"{name} must hold probabilities >= 0, got {worst:g}: give a law")
    sums = law.sum(axis=-1)
    off = np.abs(sums - 1.0)
    if not np.all(off <= SUM_TOLERANCE):
        worst = np.asarray(sums).flat[np.argmax(off)]
        raise ValueError(f"{name} must sum to 1 over its last axis, got {worst:g}: normalise it")
    return law


def check_pair(target: npt.ArrayLike, draft: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return both laws, broadcast to one shape (..., vocab)."""
    p, q = check_law("target", target), check_law("draft", draft)
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"target and draft must share one vocabulary, got {p.shape[-1]} and {q.shape[-1]} "
            f"tokens"
        )
    try:
        shape = np.broadcast_shapes(p.shape, q.shape)
    except ValueError as error:
        raise ValueError(
            f"target and draft must broadcast, got shapes {p.shape} and {q.shape}"
        ) from error
    return np.broadcast_to(p, shape), np.broadcast_to(q, shape)


def normalised(mass: Floats, spare: Floats) -> Floats:
    """Rows of `mass` divided by their sums; rows without mass become rows of `spare`."""
    total = mass.sum(axis=-1, keepdims=True)  # (..., 1)
    some = total > 0.0
    return np.where(some, mass / np.where(some, total, 1.0), spare)


def total_variation(target: Floats, draft: Floats) -> Floats:
    """Half the L1 distance over the last axis, in [0, 1]."""
    return np.asarray(np.clip(0.5 * np.abs(target - draft).sum(axis=-1), 0.0, 1.0))
