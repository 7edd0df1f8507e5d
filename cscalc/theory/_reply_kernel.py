"""Compiled kernels of `cscalc.theory.reply`: cycles follow each other until a reply is done."""

from typing import Any

import numpy as np
from numba import njit

from cscalc._checks import Floats

TINY = 1e-18  # chances below are dropped: less than 1e-11 in all


@njit(cache=True)
def reply_pmf(
    first: Any, tokens: Any, steps: Any, after: Any, chances: Floats, start: Floats,
    n_places: int, n_tokens: int, size: int,
) -> Floats:  # fmt: skip
    """P(the cycles of a reply of `n_tokens` take g steps in all), shape (size,).

    One cycle from state s at place t of the text (place 0 for all t, if there is one place)
    makes outcomes ``first[row]`` to ``first[row + 1] - 1``, row = t S + s: it emits `tokens`,
    takes `steps` and ends in state `after`, with chance `chances`. start : (S,) law of the
    state before the reply.
    """
    n_states = start.size
    ring = tokens.max() + 1
    ahead = np.zeros((ring, n_states, size))  # P(a cycle starts after t tokens, at g steps)
    low = np.full((ring, n_states), size)
    high = np.full((ring, n_states), -1)
    for s in range(n_states):
        ahead[0, s, 0] = start[s]
        low[0, s] = high[0, s] = 0
    done = np.zeros(size)
    for t in range(n_tokens):
        slot = t % ring
        for s in range(n_states):
            row = (t if n_places > 1 else 0) * n_states + s
            for g in range(low[slot, s], high[slot, s] + 1):
                weight = ahead[slot, s, g]
                ahead[slot, s, g] = 0.0
                if weight < TINY:
                    continue
                for k in range(first[row], first[row + 1]):
                    end, at = t + tokens[k], g + steps[k]
                    if end >= n_tokens:
                        done[at] += weight * chances[k]
                    else:
                        into, b = end % ring, after[k]
                        ahead[into, b, at] += weight * chances[k]
                        low[into, b] = min(low[into, b], at)
                        high[into, b] = max(high[into, b], at)
            low[slot, s] = size
            high[slot, s] = -1
    return done


@njit(cache=True)
def reply_spectrum(cycle: Any, n_tokens: int) -> Any:
    """Fourier transform of the steps that a reply takes, from that of a cycle.

    cycle : (frequencies, most + 1), transform over the steps of P(m tokens, g steps). Frequency
    by frequency, a reply of n tokens is the sum over m of cycle[m] times a reply of n - m.
    """
    n_frequencies, width = cycle.shape
    found = np.empty(n_frequencies, dtype=np.complex128)
    ring = np.empty(width, dtype=np.complex128)
    for f in range(n_frequencies):
        ring[0] = 1.0
        for n in range(1, n_tokens + 1):
            total = 0.0j
            for m in range(1, width):
                total += cycle[f, m] * (ring[(n - m) % width] if m < n else 1.0)
            ring[n % width] = total
        found[f] = ring[n_tokens % width]
    return found
