"""Token trees: their shape, and the tokens per cycle they give under positional acceptance."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_int, check_rates

SUM_TOLERANCE = 1e-6  # published vectors are rounded


@dataclass(frozen=True, slots=True)
class Tree:
    """A token tree: node 0 is the last token known, the others are proposals.

    Attributes
    ----------
    parents : tuple of int
        Parent of each node, listed before its children; -1 for the root.
    ranks : tuple of int
        1 for a parent's likeliest child, 2 for the next, ...; 0 for the root. Siblings differ.

    Examples
    --------
    >>> tree = Tree(parents=(-1, 0, 0, 1), ranks=(0, 1, 2, 1))
    >>> tree.size, tree.depth, tree.widths
    (4, 2, (1, 2, 1))
    """

    parents: tuple[int, ...]
    ranks: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("parents", "ranks"):
            values = getattr(self, name)
            if not isinstance(values, tuple):  # a list would break hash()
                raise TypeError(f"{name} must be a tuple of ints, got {values!r}")
            ints = tuple(check_int(f"{name}[{n}]", one, least=-1) for n, one in enumerate(values))
            object.__setattr__(self, name, ints)
        if len(self.parents) != len(self.ranks) or not self.parents:
            raise ValueError(
                f"parents and ranks need one entry per node, got {len(self.parents)} and "
                f"{len(self.ranks)}"
            )
        if (self.parents[0], self.ranks[0]) != (-1, 0):
            raise ValueError(
                f"node 0 is the root: parent -1 and rank 0, got {self.parents[0]} and "
                f"{self.ranks[0]}"
            )
        seen = set()
        for node, (parent, rank) in enumerate(zip(self.parents, self.ranks, strict=True)):
            if node == 0:
                continue
            check_int(f"ranks[{node}]", rank, least=1)
            if check_int(f"parents[{node}]", parent, least=0) >= node:
                raise ValueError(
                    f"parents[{node}] must be listed before node {node}, got {parent}"
                )
            if (parent, rank) in seen:
                raise ValueError(f"node {node} repeats rank {rank} under parent {parent}")
            seen.add((parent, rank))

    @property
    def size(self) -> int:
        """Nodes, root included: the positions the target's pass covers."""
        return len(self.parents)

    @property
    def depths(self) -> tuple[int, ...]:
        """Edges from the root to each node."""
        depths = [0]
        for parent in self.parents[1:]:
            depths.append(depths[parent] + 1)
        return tuple(depths)

    @property
    def depth(self) -> int:
        """Edges on the longest path: the most tokens that can be accepted."""
        return max(self.depths)

    @property
    def widths(self) -> tuple[int, ...]:
        """Nodes at depth 0, 1, ..., `depth`."""
        return tuple(np.bincount(self.depths).tolist())

    def children(self, node: int) -> tuple[int, ...]:
        """Children of `node`, in order of rank."""
        found = [i for i, parent in enumerate(self.parents) if parent == node]
        return tuple(sorted(found, key=lambda i: self.ranks[i]))

    def paths(self) -> tuple[tuple[int, ...], ...]:
        """Ranks from the root to each node; () for the root."""
        paths: list[tuple[int, ...]] = [()]
        for parent, rank in zip(self.parents[1:], self.ranks[1:], strict=True):
            paths.append((*paths[parent], rank))
        return tuple(paths)

    def attention_mask(self) -> npt.NDArray[np.bool_]:
        """Boolean array, shape (size, size): row attends to column (itself and ancestors)."""
        mask = np.eye(self.size, dtype=np.bool_)  # (size, size)
        for node, parent in enumerate(self.parents[1:], start=1):
            mask[node] |= mask[parent]
        return mask

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, read back by `from_dict`."""
        return {"parents": list(self.parents), "ranks": list(self.ranks)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Tree":
        """The tree that `to_dict` wrote."""
        return cls(tuple(data["parents"]), tuple(data["ranks"]))

    @classmethod
    def from_paths(cls, paths: Iterable[Sequence[int]]) -> "Tree":
        """The tree with these root-to-node rank paths, level by level; the root is implied.

        Raises
        ------
        ValueError
            If a path's parent is missing or a path comes twice.

        Examples
        --------
        >>> Tree.from_paths([(1,), (2,), (1, 1)]).parents
        (-1, 0, 0, 1)
        """
        ordered = sorted((tuple(path) for path in paths if len(path)), key=lambda p: (len(p), p))
        index: dict[tuple[int, ...], int] = {(): 0}
        for path in ordered:
            if path[:-1] not in index:
                raise ValueError(f"path {path} has no parent: add {path[:-1]}")
            if path in index:
                raise ValueError(f"path {path} comes twice")
            index[path] = len(index)
        parents = tuple(index[path[:-1]] for path in ordered)
        return cls((-1, *parents), (0, *(path[-1] for path in ordered)))

    @classmethod
    def chain(cls, length: int) -> "Tree":
        """A plain draft of `length` tokens, as a tree."""
        check_int("length", length, least=0)
        return cls(tuple(range(-1, length)), (0,) + (1,) * length)


def check_rank_acceptance(values: npt.ArrayLike) -> Floats:
    """Return positional acceptance as a checked array.

    Parameters
    ----------
    values : array_like, shape (ranks,) or (depths, ranks)
        P(the child of this rank is the one accepted), rows summing to <= 1.

    Returns
    -------
    ndarray, float64
        The same.

    Raises
    ------
    TypeError, ValueError
        If the shape is another, an entry is no rate, or a row sums to more than 1.

    Examples
    --------
    >>> check_rank_acceptance([0.7, 0.1]).tolist()
    [0.7, 0.1]
    """
    rates = check_rates("rank_acceptance", values)
    if rates.ndim not in (1, 2) or rates.size == 0:
        raise ValueError(
            f"rank_acceptance must have shape (ranks,) or (depths, ranks), got {rates.shape}"
        )
    worst = float(rates.sum(axis=-1).max())
    if worst > 1.0 + SUM_TOLERANCE:
        raise ValueError(
            f"rank_acceptance must sum to <= 1 over ranks, got {worst:g}: give P(the child of "
            f"this rank is the one accepted), not the rate once earlier siblings were rejected"
        )
    return rates


def rank_acceptance_from_rates(rates: npt.ArrayLike) -> Floats:
    r"""Positional acceptance from the rate of each rank once all earlier siblings were rejected.

    Parameters
    ----------
    rates : array_like, shape (..., ranks)
        P(child b accepted | children 1..b-1 rejected), each in [0, 1].

    Returns
    -------
    ndarray, shape (..., ranks), float64
        P(child b is the one accepted) :math:`= a_b \prod_{j<b} (1 - a_j)`; rows sum to <= 1.

    Raises
    ------
    ValueError
        If a rate is outside [0, 1].

    Examples
    --------
    >>> rank_acceptance_from_rates([0.5, 0.5]).tolist()
    [0.5, 0.25]
    """
    conditional = check_rates("rates", rates)
    if conditional.ndim == 0:
        raise ValueError("rates needs an axis of ranks, got a scalar")
    rejected = np.cumprod(1.0 - conditional, axis=-1)  # (..., ranks)
    before = np.concatenate([np.ones_like(rejected[..., :1]), rejected[..., :-1]], axis=-1)
    return np.asarray(conditional * before)


def node_scores(tree: Tree, rank_acceptance: npt.ArrayLike) -> Floats:
    """Chance that each node is accepted: the product of positional acceptance on its path.

    Parameters
    ----------
    tree : Tree
    rank_acceptance : array_like, shape (ranks,) or (depths, ranks)
        P(the child of rank b is the one accepted), for every depth or per depth of the child
        (row 0 = children of the root). Rows sum to <= 1. What is beyond the array counts as 0.

    Returns
    -------
    ndarray, shape (size,), float64
        1 for the root.

    Raises
    ------
    ValueError
        If the acceptance is outside [0, 1] or a row sums to more than 1.

    Examples
    --------
    >>> node_scores(Tree.chain(2), [0.8, 0.1]).round(12).tolist()
    [1.0, 0.8, 0.64]
    """
    rates = check_rank_acceptance(rank_acceptance)
    scores = np.ones(tree.size)
    depths = tree.depths
    for node in range(1, tree.size):
        rank = tree.ranks[node] - 1
        row = rates if rates.ndim == 1 else rates[depths[node] - 1 : depths[node]].ravel()
        scores[node] = scores[tree.parents[node]] * (row[rank] if rank < row.size else 0.0)
    return scores


def tree_tokens(tree: Tree, rank_acceptance: npt.ArrayLike) -> float:
    r"""Expected tokens per cycle of a token tree, the extra token included.

    Parameters
    ----------
    tree : Tree
    rank_acceptance : array_like, shape (ranks,) or (depths, ranks)
        As in `node_scores`.

    Returns
    -------
    float
        Tokens per cycle, from 1 to depth + 1.

    Raises
    ------
    ValueError
        As `node_scores`.

    Notes
    -----
    :math:`F(T) = \sum_v \prod_{i \in \mathrm{path}(v)} P[i]`, the root counting 1 for the extra
    token: Chen et al., "Sequoia", NeurIPS 2024, arXiv:2402.12374. Assumes that
    acceptance depends on the ranks of a path only, not on its tokens.

    Examples
    --------
    >>> tree_tokens(Tree(parents=(-1, 0, 0, 1), ranks=(0, 1, 2, 1)), [0.5, 0.25])
    2.0
    """
    return float(node_scores(tree, rank_acceptance).sum())
