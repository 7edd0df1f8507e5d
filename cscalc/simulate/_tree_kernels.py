"""Compiled kernel of token trees; `slow_worlds.simulate_tree_slow` is its readable twin."""

import numpy as np
from numba import njit

from cscalc._checks import Floats
from cscalc.simulate.programs import Ints


@njit(cache=True)
def walk_trees(
    n_cycles: int, limits: Floats, children: Ints, counts: Ints, rng: np.random.Generator
) -> None:
    """Walk down from the root as long as the target's token is in the tree.

    limits, children : `tree_tables`
    counts : (depth + 2,) histogram of the tokens emitted, added to
    """
    n_ranks = limits.shape[1]
    for _ in range(n_cycles):
        node = depth = 0
        while children[node, n_ranks] == 1:
            u = rng.random()
            rank = 0
            while rank < n_ranks and u >= limits[depth, rank]:
                rank += 1
            child = children[node, rank] if rank < n_ranks else -1
            if child < 0:
                break
            node = child
            depth += 1
        counts[depth + 1] += 1
