"""The best token tree: of a size and depth, and for the least time per token."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_costs, check_int
from cscalc.theory._tree_kernel import build_paths, tree_tables
from cscalc.theory.trees import Tree, check_rank_acceptance, tree_tokens

Verify = npt.ArrayLike | Callable[[int], float] | None


@dataclass(frozen=True, slots=True)
class TreePlan:
    """A tree with what it is predicted to give.

    Attributes
    ----------
    tree : Tree
    tokens : float
        Expected tokens per cycle, the extra token included.
    cycle_cost : float
        Drafting plus verification, in one-position target passes.
    ewif : float
        tokens / cycle_cost.
    models : tuple of int
        Draft model of each level, 1..n from dear to cheap; () when there is one draft only.

    Examples
    --------
    >>> plan = fastest_tree([0.8, 0.1], cost=0.1, size=8, depth=6)
    >>> round(plan.tokens / plan.cycle_cost, 4), round(plan.ewif, 4)
    (2.5869, 2.5869)
    """

    tree: Tree
    tokens: float
    cycle_cost: float
    ewif: float
    models: tuple[int, ...] = ()


def optimal_tree(rank_acceptance: npt.ArrayLike, size: int, depth: int | None = None) -> Tree:
    r"""The tree of at most `size` nodes with the most expected tokens.

    Parameters
    ----------
    rank_acceptance : array_like, shape (ranks,) or (depths, ranks)
        P(the child of rank b is the one accepted); rows sum to <= 1, need not decrease. Two
        dimensions: row i is for children at depth i + 1, and the tree is no deeper than the
        array.
    size : int
        Most nodes, root included, >= 1: positions of the target's pass.
    depth : int, optional
        Most edges from the root, >= 0: drafting passes. Default: no limit but the array's.

    Returns
    -------
    Tree
        Children of a node have ranks 1..b without a gap, as in Sequoia: the verifier meets
        them in this order. It is smaller than `size` only if no larger one gives more.

    Raises
    ------
    TypeError, ValueError
        If `size` or `depth` is not a whole number in range, or the acceptance is no acceptance.

    Notes
    -----
    Sequoia (Chen et al., NeurIPS 2024, arXiv:2402.12374): with T(n, b) the best
    tree of n nodes whose root has b children,
    :math:`T(n, b) = \max_m T(n - m, b - 1) + P[b] \max_j T(m, j)`. Sequoia counts the root as a
    level; here `depth` counts edges, so its d is `depth` + 1. Cost
    O(depth ranks size\ :sup:`2`).

    Examples
    --------
    >>> tree = optimal_tree([0.7, 0.2], size=4)
    >>> tree.parents, round(tree_tokens(tree, [0.7, 0.2]), 3)
    ((-1, 0, 1, 2), 2.533)
    """
    rates = check_rank_acceptance(rank_acceptance)
    check_int("size", size, least=1)
    rows, unlimited = _rows(rates, size, depth)
    _, branches, child = tree_tables(rows, size, unlimited=unlimited)
    return Tree.from_paths(build_paths(branches, child, size, unlimited=unlimited))


def best_first_tree(rank_acceptance: npt.ArrayLike, size: int, depth: int | None = None) -> Tree:
    """The same optimum by taking the likeliest nodes, for acceptance that falls with rank.

    Parameters
    ----------
    rank_acceptance : array_like, shape (ranks,) or (depths, ranks)
        As in `optimal_tree`, each row non-increasing.
    size : int
        Nodes, root included, >= 1.
    depth : int, optional
        Most edges from the root.

    Returns
    -------
    Tree
        The `size` nodes with the largest scores; a node never beats its parent or its elder
        sibling, so they form a tree. Nodes of score 0 are left out.

    Raises
    ------
    TypeError, ValueError
        As `optimal_tree`, and if a row increases: use `optimal_tree` then.

    Examples
    --------
    >>> best_first_tree([0.7, 0.2], size=4).parents
    (-1, 0, 1, 2)
    """
    rates = check_rank_acceptance(rank_acceptance)
    check_int("size", size, least=1)
    if np.any(np.diff(rates, axis=-1) > 0.0):
        raise ValueError("rank_acceptance must not increase with rank here: use optimal_tree")
    deepest = size - 1 if rates.ndim == 1 else rates.shape[0]
    if depth is not None:
        deepest = min(deepest, check_int("depth", depth, least=0))
    heap: list[tuple[float, int, tuple[int, ...], float]] = []  # -score, depth, path, parent's

    def offer(path: tuple[int, ...], parent_score: float) -> None:
        row = rates if rates.ndim == 1 else rates[min(len(path), deepest) - 1]
        if len(path) <= deepest and path[-1] <= row.size:
            score = parent_score * float(row[path[-1] - 1])
            if score > 0.0:
                heapq.heappush(heap, (-score, len(path), path, parent_score))

    paths: list[tuple[int, ...]] = [()]
    offer((1,), 1.0)
    while heap and len(paths) < size:
        negative, _, path, parent_score = heapq.heappop(heap)
        paths.append(path)
        offer((*path, 1), -negative)
        offer((*path[:-1], path[-1] + 1), parent_score)
    return Tree.from_paths(paths)


def fastest_tree(
    rank_acceptance: npt.ArrayLike,
    *,
    cost: npt.ArrayLike,
    size: int,
    depth: int,
    verify: Verify = None,
) -> TreePlan:
    r"""The tree of most tokens per time: maximise :math:`G(n, d) / (V(n) + \sum_{l \le d} c_l)`.

    Parameters
    ----------
    rank_acceptance : array_like, shape (ranks,) or (depths, ranks)
        As in `optimal_tree`.
    cost : float or array_like, shape (depth,)
        Drafting one level (one pass over all its nodes), in target passes, >= 0.
    size : int
        Most nodes, root included, >= 1.
    depth : int
        Most levels drafted, >= 0.
    verify : None, array_like or callable
        V(m), the target's pass over m positions in one-position passes: None for always 1; an
        array with V(1), V(2), ..., V(size); or a function of m.

    Returns
    -------
    TreePlan
        Ties go to the smaller, then the shallower tree; a lone root is plain decoding.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, or `verify` is too short or not positive.

    Notes
    -----
    Sequoia (arXiv:2402.12374): Speedup(n, d) = G(n, d) / (t(n) + d c), its d
    counting the root's level as one; here every level drafted is one pass.

    Examples
    --------
    >>> plan = fastest_tree([0.8, 0.1], cost=0.1, size=8, depth=6)
    >>> plan.tree.size, round(plan.ewif, 4)
    (8, 2.5869)
    """
    rates = check_rank_acceptance(rank_acceptance)
    check_int("size", size, least=1)
    check_int("depth", depth, least=0)
    levels = check_costs("cost", cost)
    if levels.shape not in ((), (depth,)):
        raise ValueError(f"cost must be a number or {depth} numbers, got shape {levels.shape}")
    drafting = np.concatenate([[0.0], np.cumsum(np.broadcast_to(levels, (depth,)))])
    curve = verify_values(verify, size)  # (size,)
    deepest = depth if rates.ndim == 1 else min(depth, rates.shape[0])
    best = (float(1.0 / curve[0]), 1, 0)  # ewif, size, depth
    for d, table in enumerate(_tables_by_depth(rates, size, deepest)):
        ratios = table[1:] / (curve + drafting[d])  # (size,)
        n = int(np.argmax(ratios)) + 1
        found = (float(ratios[n - 1]), n, d)
        if found[0] > best[0] * (1.0 + 1e-12) or _smaller_tie(found, best):
            best = found
    tree = optimal_tree(rates, best[1], best[2])
    tokens = tree_tokens(tree, rates)
    total = float(curve[tree.size - 1] + drafting[tree.depth])
    return TreePlan(tree, tokens, total, tokens / total)


def tree_token_table(rank_acceptance: npt.ArrayLike, size: int, depth: int) -> Floats:
    """G(n, d): most expected tokens for every size and depth at once.

    Parameters
    ----------
    rank_acceptance : array_like, shape (ranks,) or (depths, ranks)
        As in `optimal_tree`.
    size : int
        Most nodes, root included, >= 1.
    depth : int
        Most edges from the root, >= 0.

    Returns
    -------
    ndarray, shape (size, depth + 1), float64
        Entry [n - 1, d] is the best tree of at most n nodes and d levels below the root.

    Raises
    ------
    TypeError, ValueError
        As `optimal_tree`.

    Examples
    --------
    >>> tree_token_table([0.7, 0.2], size=3, depth=2).round(4).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.7, 1.7], [1.0, 1.9, 2.19]]
    """
    rates = check_rank_acceptance(rank_acceptance)
    check_int("size", size, least=1)
    check_int("depth", depth, least=0)
    deepest = depth if rates.ndim == 1 else min(depth, rates.shape[0])
    tables = _tables_by_depth(rates, size, deepest)
    tables += [tables[-1]] * (depth - deepest)
    return np.stack(tables, axis=1)[1:]


def verify_values(verify: Verify, size: int) -> Floats:
    """V(1), ..., V(size) as an array, whatever form `verify` has.

    Parameters
    ----------
    verify : None, array_like or callable
        Cost of the target's pass over m positions, in its one-position passes: always 1, over
        m = 1, 2, ..., or of m.
    size : int
        Most positions.

    Returns
    -------
    ndarray, shape (size,)
        V(1), V(2), ...

    Raises
    ------
    TypeError, ValueError
        If a value is not finite and > 0, or too few are given.

    Examples
    --------
    >>> verify_values([1.0, 1.5, 2.0], 2).tolist()
    [1.0, 1.5]
    """
    if verify is None:
        return np.ones(size)
    if callable(verify):
        values = as_floats("verify", [float(verify(m)) for m in range(1, size + 1)])
    else:
        values = as_floats("verify", verify)
        if values.ndim != 1 or values.size < size:
            raise ValueError(
                f"verify must hold V(1), ..., V({size}), got shape {values.shape}: "
                f"give more values or a smaller size"
            )
        values = values[:size]
    if not np.all(np.isfinite(values) & (values > 0.0)):
        raise ValueError(f"verify must be finite and > 0, got {values.min():g}")
    return values


def _smaller_tie(found: tuple[float, int, int], best: tuple[float, int, int]) -> bool:
    return found[0] >= best[0] * (1.0 - 1e-12) and found[1:] < best[1:]


def _tables_by_depth(rates: Floats, size: int, deepest: int) -> list[Floats]:
    """Table of most tokens, shape (size + 1,), for each depth 0..deepest."""
    if rates.ndim == 1:  # a node's table depends only on the levels left below it
        rows = np.broadcast_to(
            rates[: max(1, size - 1)], (deepest, min(rates.size, max(1, size - 1)))
        )
        tokens, _, _ = tree_tables(rows, size, unlimited=False)
        return list(tokens[::-1])
    return [
        tree_tables(rates[:d, : max(1, size - 1)], size, unlimited=False)[0][0]
        for d in range(deepest + 1)
    ]


def _rows(rates: Floats, size: int, depth: int | None) -> tuple[Floats, bool]:
    """Rows per depth, cut to the useful ranks; one row, unlimited, if nothing bounds the depth."""
    rates = rates[..., : max(1, size - 1)]
    if depth is not None:
        check_int("depth", depth, least=0)
    if rates.ndim == 1:
        if depth is None or depth >= size - 1:
            return rates[None], True
        return np.broadcast_to(rates, (depth, rates.size)), False
    return rates[: rates.shape[0] if depth is None else depth], False
