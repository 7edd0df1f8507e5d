"""Simulation of token trees: one walk from the root a cycle."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_int, check_number, check_rates
from cscalc.simulate.programs import Ints
from cscalc.simulate.streams import Stream
from cscalc.simulate.tally import Tally
from cscalc.stats import check_generator

TOLERANCE = 1e-6  # published vectors are rounded
AT_ONCE = 1 << 20  # cycles between two chances to hear ctrl-C


class TokenTree(Protocol):
    """Shape of a token tree, such as `cscalc.theory.trees.Tree`."""

    @property
    def parents(self) -> Sequence[int]:
        """Parent of each node, listed before its children; -1 for the root, node 0."""
        ...

    @property
    def ranks(self) -> Sequence[int]:
        """1 for a parent's likeliest child, 2 for the next, ...; 0 for the root."""
        ...


def simulate_tree(
    tree: TokenTree,
    rank_acceptance: npt.ArrayLike,
    n_cycles: int,
    *,
    rng: np.random.Generator,
    cost: float = 1.0,
) -> Tally:
    """Run cycles of a token tree, walk by walk.

    Parameters
    ----------
    tree : TokenTree
        Its `parents` and `ranks`.
    rank_acceptance : array_like, shape (ranks,) or (depths, ranks)
        P(the child of rank b is the one accepted), for every depth or per depth of the child
        (row 0: children of the root). Rows sum to <= 1. What is beyond the array counts as 0.
    n_cycles : int
        Cycles to run, at least 1.
    rng : numpy.random.Generator
        Source of all draws: one uniform number for each node reached that has children.
    cost : float
        Cost of a cycle in target passes, drafting and the pass over the tree, >= 0.

    Returns
    -------
    Tally
        Emitted tokens a cycle: accepted ones and the extra one.

    Raises
    ------
    TypeError, ValueError
        If `tree` has no parents and ranks or they are no tree, the acceptance is outside
        [0, 1], a row sums to more than 1, or a number is out of range.

    Notes
    -----
    At each node the target's token is the child of rank b with the given chance, whichever of
    its siblings are in the tree; if that child is not, the walk ends: Chen et al., "Sequoia",
    NeurIPS 2024, arXiv:2402.12374.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> chain = SimpleNamespace(parents=(-1, 0, 1), ranks=(0, 1, 1))
    >>> simulate_tree(chain, [1.0], 5, rng=np.random.default_rng(1), cost=1.5).ewif
    2.0
    """
    from cscalc.simulate import _tree_kernels  # numba loads here

    check_generator(rng)
    check_int("n_cycles", n_cycles, least=1)
    experiment, limits, children = tree_tables(tree, rank_acceptance, cost)
    stream = Stream.of(rng, n_cycles)
    counts = np.zeros(experiment["depth"] + 2, dtype=np.int64)
    for start in range(0, n_cycles, AT_ONCE):
        size = min(AT_ONCE, n_cycles - start)
        _tree_kernels.walk_trees(size, limits, children, counts, rng)
    return tree_tally(experiment, counts.tolist(), stream)


def tree_tally(experiment: dict[str, Any], counts: list[int], stream: Stream) -> Tally:
    """Tally of a histogram of emitted tokens."""
    cycles, cost = sum(counts), float(experiment["cost"])
    tokens = sum(i * count for i, count in enumerate(counts))
    sums = cost * cycles, cost * cost * cycles, cost * tokens
    return Tally.of(experiment, counts, [cycles], sums, stream)


def tree_tables(
    tree: TokenTree, rank_acceptance: npt.ArrayLike, cost: float
) -> tuple[dict[str, Any], Floats, Ints]:
    """Experiment; running sums of the acceptance of ranks (depth, ranks); children (size, ranks).

    A child that is not in the tree is -1; ``children[node, -1]`` is 1 if the node has children.
    """
    parents, ranks = _shape(tree)
    rates = check_rates("rank_acceptance", rank_acceptance)
    if rates.ndim not in (1, 2) or rates.size == 0:
        raise ValueError(
            f"rank_acceptance must have shape (ranks,) or (depths, ranks), got {rates.shape}"
        )
    if (worst := float(rates.sum(axis=-1).max())) > 1.0 + TOLERANCE:
        raise ValueError(
            f"rank_acceptance must sum to <= 1 over ranks, got {worst:g}: give P(the child of "
            f"this rank is the one accepted)"
        )
    depths = [0] * len(parents)
    for node in range(1, len(parents)):
        depths[node] = depths[parents[node]] + 1
    depth, n_ranks = max(depths), rates.shape[-1]
    by_depth = np.zeros((depth, n_ranks))
    known = by_depth.shape[0] if rates.ndim == 1 else min(depth, rates.shape[0])
    by_depth[:known] = rates if rates.ndim == 1 else rates[:known]
    children = np.full((len(parents), n_ranks + 1), -1, dtype=np.int64)
    for node in range(1, len(parents)):
        children[parents[node], n_ranks] = 1
        if ranks[node] <= n_ranks:
            children[parents[node], ranks[node] - 1] = node
    experiment = {
        "process": 1,
        "tree": {"parents": parents, "ranks": ranks},
        "rank_acceptance": by_depth.tolist(),
        "depth": depth,
        "cost": check_number("cost", cost, least=0.0),
    }
    return experiment, np.cumsum(by_depth, axis=1), children


def _shape(tree: TokenTree) -> tuple[list[int], list[int]]:
    if not hasattr(tree, "parents") or not hasattr(tree, "ranks"):
        raise TypeError(f"tree must have parents and ranks, got {tree!r}: give a Tree")
    parents, ranks = [int(p) for p in tree.parents], [int(r) for r in tree.ranks]
    if len(parents) != len(ranks) or not parents or parents[0] != -1:
        raise ValueError(f"tree must begin with its root, got parents {parents}, ranks {ranks}")
    seen = set()
    for node in range(1, len(parents)):
        pair = parents[node], ranks[node]
        if not 0 <= pair[0] < node or pair[1] < 1 or pair in seen:
            raise ValueError(
                f"tree: node {node} has parent {pair[0]} and rank {pair[1]}: list parents before "
                f"children, and give siblings ranks 1, 2, ... that differ"
            )
        seen.add(pair)
    return parents, ranks
