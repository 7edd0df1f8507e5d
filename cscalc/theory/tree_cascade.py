"""Tree cascades: token trees whose parts are drafted by different models.

Two views. `level_cascade`: one pass drafts a whole level, and every level has its model (exact
optimum). `leaf_cascade`: every step extends one leaf, as in CAS-Spec's dynamic tree cascade.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_costs, check_int
from cscalc.theory._tree_kernel import level_table
from cscalc.theory.tree_search import TreePlan, Verify, optimal_tree, verify_values
from cscalc.theory.trees import Tree, check_rank_acceptance, tree_tokens


def level_cascade(
    rank_acceptances: Sequence[npt.ArrayLike],
    costs: npt.ArrayLike,
    *,
    size: int,
    depth: int,
    verify: Verify = None,
    one_shot: Collection[int] = (),
) -> TreePlan:
    r"""The best tree of which each level is drafted by one of several models.

    Parameters
    ----------
    rank_acceptances : sequence of array_like, each shape (ranks,)
        For draft 1, 2, ..., P(its child of rank b is the one the target accepts).
    costs : array_like, shape (n,)
        One pass of each draft over a whole level, in target passes.
    size : int
        Most nodes, root included, >= 1.
    depth : int
        Most levels drafted, >= 0.
    verify : None, array_like or callable
        V(m), as in `fastest_tree`.
    one_shot : collection of int
        Drafts that cost one pass for any number of consecutive levels (prompt lookup).

    Returns
    -------
    TreePlan
        Largest EWIF over all assignments of models to levels, all depths and all trees;
        `models` names the model of each level.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range or the counts of models differ.

    Notes
    -----
    CAS-Spec (arXiv:2510.26843), Proposition 4.3, made exact. The search builds assignments from
    the deepest level upwards. Let f(n) be the most tokens below a node of that level given n
    nodes. A tree over a suffix is worth no less when f is no smaller everywhere, whatever stands
    above it. So a suffix whose f is nowhere larger and whose cost is no smaller than another's
    of the same length and top model cannot be needed, and is dropped.

    Examples
    --------
    >>> plan = level_cascade([[0.9], [0.8]], [0.4, 0.3], size=8, depth=6)
    >>> plan.models, round(plan.ewif, 6)
    ((1, 1, 2, 2), 1.615167)
    """
    rates, prices = _check_models(rank_acceptances, costs)
    check_int("size", size, least=1)
    check_int("depth", depth, least=0)
    once = _check_one_shot(one_shot, prices.size)
    curve = verify_values(verify, size)
    leaf = np.ones(size + 1)
    leaf[0] = 0.0
    best_ewif, best_size = float(1.0 / curve[0]), 1
    best_models: tuple[int, ...] = ()
    suffixes = [_Suffix((), 0.0, leaf)]
    for _ in range(min(depth, size - 1)):
        longer = []
        for suffix in suffixes:
            for model in range(1, prices.size + 1):
                free = model in once and suffix.models[:1] == (model,)
                cost = suffix.cost + (0.0 if free else float(prices[model - 1]))
                table = _table(rates[model - 1], suffix.table)
                longer.append(_Suffix((model, *suffix.models), cost, table))
        suffixes = _undominated(longer, prices, once)
        for suffix in suffixes:
            ratios = suffix.table[1:] / (curve + suffix.cost)  # (size,)
            n = int(np.argmax(ratios)) + 1
            if ratios[n - 1] > best_ewif * (1.0 + 1e-12):
                best_ewif, best_size, best_models = float(ratios[n - 1]), n, suffix.models
    rows = _stack(rates, best_models)
    tree = optimal_tree(rows, best_size, len(best_models))
    models = best_models[: tree.depth]
    tokens = tree_tokens(tree, rows)
    cost = float(curve[tree.size - 1]) + _level_cost(models, prices, once)
    return TreePlan(tree, tokens, cost, tokens / cost, models)


@dataclass(frozen=True, slots=True)
class LeafCascade:
    """A tree grown leaf by leaf.

    Attributes
    ----------
    tree : Tree
    models : tuple of int
        Draft model that proposed each node; 0 for the root.
    tokens : float
        Expected tokens per cycle, the extra token included.
    cycle_cost : float
        All drafting passes plus verification, in one-position target passes.
    ewif : float
        tokens / cycle_cost.

    Examples
    --------
    >>> leaf_cascade([[0.9], [0.8]], [0.4, 0.3], size=8).models
    (0, 1, 1, 1, 2)
    """

    tree: Tree
    models: tuple[int, ...]
    tokens: float
    cycle_cost: float
    ewif: float


def leaf_cascade(
    rank_acceptances: Sequence[npt.ArrayLike],
    costs: npt.ArrayLike,
    *,
    size: int,
    max_length: int = 5,
    verify: Verify = None,
) -> LeafCascade:
    r"""Grow a tree by the step with the best tokens per cost, while it raises the EWIF.

    Parameters
    ----------
    rank_acceptances : sequence of array_like, each shape (ranks,)
        For draft 1, 2, ..., P(its child of rank b is the one the target accepts). The last draft
        is the bottom one, assumed to follow each step with one token.
    costs : array_like, shape (n,)
        One pass of each draft for one leaf, in target passes.
    size : int
        Most nodes, root included, >= 1.
    max_length : int
        Most passes in one step, >= 1 (CAS-Spec uses 5).
    verify : None, array_like or callable
        V(m), as in `fastest_tree`.

    Returns
    -------
    LeafCascade

    Raises
    ------
    TypeError, ValueError
        If a number is out of range or the counts of models differ.

    Notes
    -----
    CAS-Spec (arXiv:2510.26843), Algorithm 1, with the ratio rule in place of Eq. 5. The leaf
    most likely to be accepted is next. A step of k passes of one model adds k levels, on each the
    best siblings of which only the first is continued in this step; it is judged, with the
    bottom draft's token after it, by (T + dT) / (C + dC), its added nodes by dV. A step is taken
    if this exceeds T/C; a leaf without such a step is done, and the next likeliest is tried.
    Greedy, with costs per leaf; `level_cascade` is an optimum, with costs per level.

    Examples
    --------
    >>> grown = leaf_cascade([[0.9], [0.8]], [0.4, 0.3], size=8)
    >>> grown.models, round(grown.ewif, 5)
    ((0, 1, 1, 1, 2), 1.60888)
    """
    rates, prices = _check_models(rank_acceptances, costs)
    check_int("size", size, least=1)
    check_int("max_length", max_length, least=1)
    curve = verify_values(verify, size)
    bottom_alpha, bottom_cost = float(rates[-1][0]), float(prices[-1])
    parents, ranks, models, reach = [-1], [0], [0], [1.0]
    active = {0}
    tokens, drafting = 1.0, 0.0
    while active and len(parents) < size:
        leaf = max(active, key=lambda node: (reach[node], -node))
        active.discard(leaf)
        spent = drafting + float(curve[len(parents) - 1])
        best_ratio, best = tokens / spent, None
        for model, row in enumerate(rates, start=1):
            totals = np.cumsum(row)
            for width in range(1, row.size + 1):
                alpha, gain = reach[leaf], 0.0
                for length in range(1, max_length + 1):
                    count = len(parents) + length * width
                    if count > size:
                        break
                    gain += alpha * float(totals[width - 1])
                    alpha *= float(row[0])
                    paid = float(prices[model - 1]) * length
                    value = (tokens + gain) / (drafting + paid + float(curve[count - 1]))
                    if count < size:  # room for the bottom draft's token
                        after = drafting + paid + bottom_cost + float(curve[count])
                        value = max(value, (tokens + gain + alpha * bottom_alpha) / after)
                    if value > best_ratio * (1.0 + 1e-12):
                        best_ratio, best = value, (model, width, length, gain)
        if best is None:
            continue
        model, width, length, gain = best
        tokens += gain
        drafting += float(prices[model - 1]) * length
        parent = leaf
        for _ in range(length):
            first = len(parents)
            for rank in range(1, width + 1):
                active.add(len(parents))
                reach.append(reach[parent] * float(rates[model - 1][rank - 1]))
                parents.append(parent)
                ranks.append(rank)
                models.append(model)
            active.discard(parent)
            parent = first
    total = drafting + float(curve[len(parents) - 1])
    tree = Tree(tuple(parents), tuple(ranks))
    return LeafCascade(tree, tuple(models), tokens, total, tokens / total)


@dataclass(frozen=True, slots=True)
class _Suffix:
    models: tuple[int, ...]  # of the deepest levels, top one first
    cost: float
    table: Floats  # (size + 1,): most tokens below and at a node above these levels


def _undominated(suffixes: list[_Suffix], prices: Floats, once: frozenset[int]) -> list[_Suffix]:
    kept: list[_Suffix] = []
    for one in sorted(suffixes, key=lambda s: (s.cost, -float(s.table.sum()))):
        top = one.models[0]
        spare = float(prices[top - 1])  # what continuing a one-shot model on top would save
        if not any(
            (top not in once or other.models[0] == top or other.cost + spare <= one.cost)
            and bool(np.all(other.table >= one.table))
            for other in kept
        ):
            kept.append(one)
    return kept


def _table(row: Floats, below: Floats) -> Floats:
    """`below` with one more level on top, whose positional acceptance is `row`."""
    size = below.size - 1
    out = np.ones(size + 1)
    branches = np.zeros(size + 1, dtype=np.int32)
    child = np.zeros((row.size + 1, size + 1), dtype=np.int32)
    level_table(np.array(row), below, out, branches, child, np.zeros((row.size + 1, size + 1)))
    return out


def _stack(rates: list[Floats], models: tuple[int, ...]) -> Floats:
    ranks = max(row.size for row in rates)
    rows = np.zeros((max(1, len(models)), ranks))
    for level, model in enumerate(models):
        rows[level, : rates[model - 1].size] = rates[model - 1]
    return rows


def _level_cost(models: tuple[int, ...], prices: Floats, once: frozenset[int]) -> float:
    total, above = 0.0, 0
    for model in models:
        if not (model in once and model == above):
            total += float(prices[model - 1])
        above = model
    return total


def _check_models(
    rank_acceptances: Sequence[npt.ArrayLike], costs: npt.ArrayLike
) -> tuple[list[Floats], Floats]:
    rates = [check_rank_acceptance(row) for row in rank_acceptances]
    prices = check_costs("costs", costs)
    if not rates or prices.shape != (len(rates),) or any(row.ndim != 1 for row in rates):
        raise ValueError(
            f"rank_acceptances and costs need one vector and one number per draft, got "
            f"{len(rates)} drafts and costs of shape {prices.shape}"
        )
    return rates, prices


def _check_one_shot(one_shot: Collection[int], drafts: int) -> frozenset[int]:
    for model in one_shot:
        if check_int("one_shot", model, least=1) > drafts:
            raise ValueError(f"one_shot names drafts 1..{drafts}, got {model}")
    return frozenset(one_shot)
