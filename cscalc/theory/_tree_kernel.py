"""Sequoia's dynamic program over tree sizes: the numba kernel and its readable twin."""

from functools import cache

import numba
import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats

Ints = npt.NDArray[np.int32]


@numba.njit(cache=True)
def level_table(
    row: Floats, below: Floats, out: Floats, branches: Ints, child: Ints, work: Floats
) -> None:
    """Fill out[n]: most tokens of a subtree of at most n nodes whose root's children have `row`.

    `below[m]` is the same for the children's subtrees; it may be `out` itself, which is then
    read only below n (no limit on depth). branches[n] and child[b, n] tell how it is reached:
    the b-th child's subtree gets child[b, n] nodes. `work` has shape (ranks + 1, size + 1);
    work[b, n] is the best with exactly b children.
    """
    ranks, size = row.size, out.size - 1
    out[0] = 0.0
    for n in range(1, size + 1):
        work[0, n] = 1.0
        best, used = 1.0, 0
        for b in range(1, min(ranks, n - 1) + 1):
            rate = row[b - 1]
            top, pick = -1.0, 0
            for m in range(
                1, n - b + 1
            ):  # leaves n - m >= b nodes for the root and b - 1 children
                value = work[b - 1, n - m] + rate * below[m]
                if value > top:
                    top, pick = value, m
            work[b, n] = top
            child[b, n] = pick
            if top > best:
                best, used = top, b
        out[n] = best
        branches[n] = used


def tree_tables(rows: Floats, size: int, *, unlimited: bool) -> tuple[Floats, Ints, Ints]:
    """Tables for every level, root's children first; rows shape (depths, ranks).

    Returns tokens (levels + 1, size + 1), branches (levels + 1, size + 1) and child
    (levels + 1, ranks + 1, size + 1), where entry l describes a node at depth l. `unlimited`
    takes rows[0] at every depth and returns one level.
    """
    depth, ranks = rows.shape
    rows = np.array(rows, order="C")  # a copy: a read-only view would be compiled for anew
    tokens = np.ones((depth + 1, size + 1))
    tokens[:, 0] = 0.0
    branches = np.zeros((depth + 1, size + 1), dtype=np.int32)
    child = np.zeros((depth + 1, ranks + 1, size + 1), dtype=np.int32)
    work = np.zeros((ranks + 1, size + 1))
    for level in range(depth - 1, -1, -1):
        below = tokens[level] if unlimited else tokens[level + 1]
        level_table(rows[level], below, tokens[level], branches[level], child[level], work)
    return tokens, branches, child


def build_paths(
    branches: Ints, child: Ints, size: int, *, start: int = 0, unlimited: bool = False
) -> list[tuple[int, ...]]:
    """Rank paths of the best tree with at most `size` nodes, read back from the tables."""
    paths: list[tuple[int, ...]] = [()]
    todo: list[tuple[tuple[int, ...], int, int]] = [((), start, size)]
    while todo:
        path, level, nodes = todo.pop()
        for b in range(int(branches[level, nodes]), 0, -1):
            given = int(child[level, b, nodes])
            paths.append((*path, b))
            todo.append(((*path, b), level if unlimited else level + 1, given))
            nodes -= given
    return paths


def best_tokens_slow(rows: Floats, size: int) -> float:
    """Most tokens of a tree with at most `size` nodes, one row per depth; twin of `tree_tables`.

    A node with children 1..b has left some nodes for further siblings: give the next sibling
    m of them, or stop.
    """
    depth, ranks = rows.shape

    @cache
    def node(level: int, nodes: int) -> float:
        return 1.0 + siblings(level, 1, nodes - 1)

    @cache
    def siblings(level: int, rank: int, nodes: int) -> float:
        best = 0.0
        if level < depth and rank <= ranks:
            for m in range(1, nodes + 1):
                value = rows[level, rank - 1] * node(level + 1, m)
                best = max(best, value + siblings(level, rank + 1, nodes - m))
        return best

    return node(0, size)
