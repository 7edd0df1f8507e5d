"""Compiled partial cascades of `cscalc._search_tree`: exact so far, bounded from there on.

A node is the draft of one frame after some of its segments: the chance of every length, the
chance of it with everything accepted, and the chance that the first i tokens exist and are
accepted. A frame is a draft in front of one reviewer; inside the round of an inner reviewer
what its tokens are worth is the bound on all that can follow in front of the outer one.
"""

from typing import Any

from cscalc._search_frames import ONE_SHOT, PRICE, STEADY, inner, to_go

ALONE, ROUNDS, UNTIL, OPEN = 1, 2, 3, 4
TINY = 1e-16
GAIN, COST = 0, 1  # of a node, in its fourth row
TOP, LAST, MOST = (
    0,
    1,
    2,
)  # longest draft with a chance; model before; longest draft at all
# of a frame: where it stands; the outer drafts so long that it begins there for certain
# (CALLS), perhaps (MAYBE), or not (NEXT, -1 if there is none); its rows; the end of the law
# and the longest draft of a closed round
REVIEWER, DEPTH, CAP, PARENT, NODE, CALLS, MAYBE, NEXT, BEGIN, FINISH, END, LONGEST = range(12)
# of a frame; SPENT: cost of a closed round, KEPT: tokens of it that are accepted, FURTHER, AFTER:
# reach of more rounds and what follows, and of what follows them all
BASE, WEIGHT, SPAN, ENOUGH, SPENT, KEPT, FURTHER, AFTER, NEED = range(9)
LEFT, OVER = 0, 1  # steps left; whether steps or rows are used up


@inner
def need(room: Any, frame: int) -> Any:
    """What a frame must exceed, beyond the worth of one token, for a new best."""
    return room[3][frame, 2, NEED]


@inner
def set_need(room: Any, frame: int) -> None:
    """Compute `need` of a frame from that of the outer one, or from the best so far."""
    frames, worths, best = room[2], room[3], room[8]
    out = best[0]
    if frame > 0:
        out = worths[frames[frame, PARENT], 2, NEED]
    out = (out - worths[frame, 2, BASE]) / worths[frame, 2, WEIGHT]
    worths[frame, 2, NEED] = out - worths[frame, 0, 1]


@inner
def ahead(room: Any, frame: int, top: int, m: int, y: float, least: int) -> Any:
    """Bound on what follows m tokens, all accepted with chance y, the last of model `top`."""
    frames, worths, starts, place, values, order = room[2:8]
    low, high = starts[frame, top, m], starts[frame, top, m + 1]
    return to_go(place, values, order, low, high, frames[frame, BEGIN], worths[frame, 1, m], y,
                 least, worths[frame, 2, SPAN])  # fmt: skip


@inner
def hope(room: Any, frame: int, at: int, least: int, low: int, high: int) -> float:
    """Bound on what follows node `at` where its draft holds low..high tokens."""
    nodes, whole = room[0], room[1]
    out, last = 0.0, whole[at, LAST]
    for m in range(low, high + 1):
        weight = nodes[at, 0, m]
        if weight > TINY:
            out += weight * ahead(room, frame, last, m, nodes[at, 1, m] / weight, least)
    return out


@inner
def copy_node(room: Any, source: int, to: int) -> None:
    """Copy a node."""
    nodes, whole = room[0], room[1]
    for row in range(3):
        for m in range(whole[source, TOP] + 1):
            nodes[to, row, m] = nodes[source, row, m]
    nodes[to, 3, GAIN], nodes[to, 3, COST] = (
        nodes[source, 3, GAIN],
        nodes[source, 3, COST],
    )
    for i in range(3):
        whole[to, i] = whole[source, i]


@inner
def add_token(tables: Any, room: Any, frame: int, at: int, model: int, k: int) -> float:
    """Append the k-th unreviewed token; return the chance that all are accepted."""
    alphas, prices, facts = tables[0], tables[3], tables[4]
    nodes, whole, frames, worths = room[:4]
    alpha, left, gain = alphas[frames[frame, REVIEWER], model], 0.0, 0.0
    top = whole[at, TOP] + 1
    nodes[at, 2, top] = 0.0
    for m in range(top, 0, -1):
        kept = nodes[at, 1, m - 1] * alpha
        nodes[at, 0, m], nodes[at, 1, m] = nodes[at, 0, m - 1], kept
        nodes[at, 2, m] += kept
        gain += kept * (worths[frame, 0, m + 1] - worths[frame, 0, m])
        left += kept
    nodes[at, 0, 0] = nodes[at, 1, 0] = 0.0
    nodes[at, 3, GAIN] += gain
    if k == 1 or not facts[model, ONE_SHOT]:
        nodes[at, 3, COST] += prices[model, PRICE]
    whole[at, TOP] = top
    whole[at, MOST] += 1
    return left


@inner
def spent_with_pass(tables: Any, room: Any, reviewer: int, at: int) -> Any:
    """Expected cost of a node and of the reviewer's pass over its draft."""
    curves, prices, facts = tables[1], tables[3], tables[4]
    nodes, whole = room[0], room[1]
    out = 1.0
    if not facts[reviewer, STEADY]:
        out = 0.0
        for m in range(whole[at, TOP] + 1):
            out += nodes[at, 0, m] * curves[reviewer, m + 1]
    return nodes[at, 3, COST] + prices[reviewer, PRICE] * out
