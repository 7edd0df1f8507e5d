"""Trees grown from the draft's own probabilities, context by context (SpecExec, OPT-Tree)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import as_floats, check_int, check_number
from cscalc.theory.trees import Tree

Expand = Callable[[tuple[int, ...]], npt.ArrayLike]


@dataclass(frozen=True, slots=True)
class GrownTree:
    """A tree of concrete tokens.

    Attributes
    ----------
    tree : Tree
        Ranks follow the draft's probabilities: 1 for a node's likeliest child.
    tokens : tuple of int
        Proposed token of each node; -1 for the root.
    scores : tuple of float
        Product of the draft's probabilities along each node's path; 1 for the root.
    expected : float
        Sum of the scores: expected tokens per cycle if the draft's probabilities were
        acceptance rates, the extra token included.
    levels : int
        Drafting passes made, one per level.

    Examples
    --------
    >>> round(grow_tree(lambda path: [0.7, 0.2, 0.1], size=4).expected, 3)
    2.533
    """

    tree: Tree
    tokens: tuple[int, ...]
    scores: tuple[float, ...]
    expected: float
    levels: int


def grow_tree(
    expand: Expand, size: int, *, depth: int | None = None, least_gain: float = 0.0
) -> GrownTree:
    r"""The tree of the `size` likeliest continuations, grown level by level.

    Parameters
    ----------
    expand : callable
        From the tokens between the root and a node to the draft's law of the next token there:
        array_like, shape (vocab,), each in [0, 1], summing to <= 1. Asked only for nodes of the
        current best tree.
    size : int
        Most nodes, root included, >= 1.
    depth : int, optional
        Most levels, >= 0. Default: until the tree stops growing.
    least_gain : float
        Stop once a level raises `expected` by no more than this, >= 0. OPT-Tree takes about the
        draft's pass over the target's pass; 0 gives SpecExec's tree.

    Returns
    -------
    GrownTree

    Raises
    ------
    TypeError, ValueError
        If a number is out of range or `expand` returns no sub-law.

    Notes
    -----
    OPT-Tree (Wang et al., arXiv:2406.17276): keep the n nodes of largest path probability and
    stop when the expected length gains too little. SpecExec (Svirschevski et al., NeurIPS 2024,
    arXiv:2406.02532) finds the same nodes by Dijkstra on :math:`-\log q`. A path is never
    likelier than its prefix, so a node of the final tree always hangs below a node of the
    current one, and nothing else need be expanded.

    Examples
    --------
    >>> grown = grow_tree(lambda path: [0.7, 0.2, 0.1], size=4)
    >>> grown.tree.parents, grown.tokens, round(grown.expected, 3)
    ((-1, 0, 1, 2), (-1, 0, 0, 0), 2.533)
    """
    check_int("size", size, least=1)
    deepest = size - 1 if depth is None else check_int("depth", depth, least=0)
    gain = check_number("least_gain", least_gain, 0.0)
    chosen = [_Node(1.0, (), ())]  # the best tree so far; root first
    levels = 0
    while levels < deepest:
        front = [node for node in chosen if len(node.tokens) == levels]
        if not front:
            break
        offers = [child for node in front for child in _children(node, expand, size - 1)]
        levels += 1
        # on ties the node nearer to the root, so that no node comes without its parent
        merged = sorted([*chosen, *offers], key=lambda n: (-n.score, len(n.tokens), n.ranks))
        merged = merged[:size]
        before, after = _total(chosen), _total(merged)
        chosen = merged
        if not after - before > gain:
            break
    chosen.sort(key=lambda n: (len(n.tokens), n.ranks))
    return GrownTree(
        Tree.from_paths(node.ranks for node in chosen),
        (-1, *(node.tokens[-1] for node in chosen[1:])),
        tuple(node.score for node in chosen),
        _total(chosen),
        levels,
    )


def yggdrasil_speedup(
    tokens: float, draft_times: npt.ArrayLike, verify_time: float, target_time: float
) -> float:
    r"""Speed-up of a tree over plain decoding, from measured times.

    Parameters
    ----------
    tokens : float
        Tokens per cycle, the extra token included (the paper's AAL), >= 1.
    draft_times : array_like, shape (levels,)
        Time to draft each level at its width, in any one unit, each >= 0.
    verify_time : float
        The target's pass over the tree, same unit, > 0.
    target_time : float
        The target's pass over one position, same unit, > 0.

    Returns
    -------
    float
        :math:`\mathrm{AAL} \; T_v(1) / (\sum_D T_d(W_d) + T_v(W_v))`.

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    Yggdrasil (Guan et al., NeurIPS 2025, arXiv:2512.23858), Eq. 3.

    Examples
    --------
    >>> yggdrasil_speedup(3.0, [0.1, 0.1], 1.3, 1.0)
    2.0
    """
    check_number("tokens", tokens, 1.0)
    times = as_floats("draft_times", draft_times)
    if not np.all(np.isfinite(times) & (times >= 0.0)):
        raise ValueError(f"draft_times must be finite and >= 0, got {draft_times!r}")
    verify = check_number("verify_time", verify_time, 0.0)
    plain = check_number("target_time", target_time, 0.0)
    if not (verify > 0.0 and plain > 0.0):
        raise ValueError(
            f"verify_time and target_time must be > 0, got {verify_time} and {target_time}"
        )
    return float(tokens * plain / (times.sum() + verify))


@dataclass(frozen=True, slots=True)
class _Node:
    score: float
    tokens: tuple[int, ...]
    ranks: tuple[int, ...]


def _children(node: _Node, expand: Expand, most: int) -> list[_Node]:
    law = as_floats("expand's result", expand(node.tokens))
    if law.ndim != 1 or not np.all(law >= 0.0) or not law.sum() <= 1.0 + 1e-6:
        raise ValueError(
            f"expand must return probabilities, shape (vocab,), summing to <= 1; after "
            f"{node.tokens} they have shape {law.shape} and sum {law.sum():g}"
        )
    order = np.argsort(-law, kind="stable")[:most]  # likeliest first, ties to the lower token
    return [
        _Node(node.score * float(law[token]), (*node.tokens, int(token)), (*node.ranks, rank))
        for rank, token in enumerate(order, start=1)
        if law[token] > 0.0
    ]


def _total(nodes: list[_Node]) -> float:
    return float(sum(node.score for node in nodes))
