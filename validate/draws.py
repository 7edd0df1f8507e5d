"""Draws and corrections over a whole vocabulary on the CPU: one compiled loop each.

Between two passes of a model every small tensor operation costs more than its arithmetic, for
its code has left the caches; a draw made of twenty of them takes five times as long as this.
"""

import numpy as np
from numba import njit

from cscalc._checks import Floats

BLOCK = 256
SUMS = {"reassoc", "contract"}  # lets the sum of a block run in vector registers


@njit(cache=True, fastmath=SUMS)
def block_sums(weights: Floats) -> Floats:
    """Sums in float64 of blocks of 256 weights, (blocks,)."""
    sums = np.empty((weights.size + BLOCK - 1) // BLOCK)
    for block in range(sums.size):
        total = 0.0
        for at in range(block * BLOCK, min((block + 1) * BLOCK, weights.size)):
            total += weights[at]
        sums[block] = total
    return sums


@njit(cache=True)
def find_block(sums: Floats, uniform: float) -> tuple[int, float, float]:
    """Block that holds the point `uniform` times the total; the sum before it; the point."""
    point, before, block = uniform * sums.sum(), 0.0, 0
    while block < sums.size - 1 and before + sums[block] <= point:
        before += sums[block]
        block += 1
    return block, before, point


@njit(cache=True)
def invert(weights: Floats, uniform: float) -> int:
    """Smallest index whose cumulative weight exceeds `uniform` times the total.

    Never one without weight: where rounding pushes the point past the end, the last that has
    some.

    Parameters
    ----------
    weights : ndarray, shape (n,)
        >= 0, not all 0; they need no norm.
    uniform : float
        In [0, 1).
    """
    block, before, point = find_block(block_sums(weights), uniform)
    for at in range(block * BLOCK, weights.size):
        before += weights[at]
        if before > point:
            return at
    last = weights.size - 1
    while last > 0 and not weights[last] > 0.0:
        last -= 1
    return last


@njit(cache=True, fastmath=SUMS)
def excess_sums(own: Floats, draft: Floats, factor: float) -> Floats:
    """Sums in float64 of blocks of 256 of :math:`(f p - q)_+`, (blocks,)."""
    sums = np.empty((own.size + BLOCK - 1) // BLOCK)
    for block in range(sums.size):
        total = 0.0
        for at in range(block * BLOCK, min((block + 1) * BLOCK, own.size)):
            over = factor * own[at] - draft[at]
            total += 0.0 if over <= 0.0 else over  # nan stays; max() takes longer
        sums[block] = total
    return sums


@njit(cache=True)
def invert_excess(own: Floats, draft: Floats, factor: float, sums: Floats, uniform: float) -> int:
    """`invert` of the weights :math:`(f p - q)_+`, which are never written down; their `sums`."""
    block, before, point = find_block(sums, uniform)
    for at in range(block * BLOCK, own.size):
        before += max(factor * own[at] - draft[at], 0.0)
        if before > point:
            return at
    last = own.size - 1
    while last > 0 and not factor * own[last] > draft[last]:
        last -= 1
    return last


BUCKETS = 2048
BUCKETS_A_NAT = 64.0  # so that they span 32 nats below the likeliest; the last holds the rest


@njit(cache=True)
def least_kept(logits: Floats, probs: Floats, top_p: float) -> Floats:
    """Least logit of each row that top-p keeps, (rows,), without sorting the vocabulary.

    Masses are added up in buckets of like logits; only the bucket in which the sum reaches
    `top_p` is sorted.

    Parameters
    ----------
    logits, probs : ndarray, shape (rows, vocab_size)
        And their softmax.
    top_p : float
    """
    least = np.empty(len(logits), logits.dtype)
    for row in range(len(logits)):
        top = logits[row].max()
        mass = np.zeros(BUCKETS)
        places = np.empty(logits.shape[1], np.int16)
        for at in range(logits.shape[1]):
            below = (top - logits[row, at]) * BUCKETS_A_NAT
            places[at] = int(below) if below < BUCKETS else BUCKETS - 1  # nan and -inf: the last
            mass[places[at]] += probs[row, at]
        bucket, upto = 0, 0.0
        while bucket < BUCKETS - 1 and upto + mass[bucket] < top_p:
            upto += mass[bucket]
            bucket += 1
        inside = np.flatnonzero(places == bucket)
        least[row] = top
        for at in inside[np.argsort(-logits[row, inside])]:
            least[row] = logits[row, at]
            upto += probs[row, at]
            if upto >= top_p:
                break
    return least
