"""Compiled kernels of the simulator; `cscalc.simulate.slow` holds their readable twins.

One uniform number u serves all coins of one review: the first is heads if u < a, and given
that, u / a is uniform again and serves the next. So token after token a running product of
rates is compared with u, until it falls to u or below: a geometric draw by inversion.
"""

import numpy as np
from numba import njit

from cscalc._checks import Floats
from cscalc.simulate.programs import Ints

REVIEW, LEAF = 1, 2
UNTIL = 2
CORRECTED, BONUS = 1, 2  # last token of a call: rows of `chances`


@njit(cache=True)
def histogram_of_drafts(uniforms: Floats, thresholds: Floats, counts: Ints) -> None:
    """Add cycles of a cascade whose only reviewer is the target: one uniform number a cycle.

    thresholds : (length,) chance that the first 1, 2, ..., length proposals are accepted
    counts : (length + 2,) histogram of the tokens emitted, added to
    """
    above = uniforms.size
    for accepted in range(thresholds.size):
        threshold = thresholds[accepted]
        survivors = 0
        for i in range(uniforms.size):  # no branch, so that it runs on vectors
            survivors += uniforms[i] < threshold
        counts[accepted + 1] += above - survivors
        above = survivors
        if above == 0:
            return
    counts[thresholds.size + 1] += above


@njit(cache=True)
def run_cycles(
    n_cycles: int, roots: Ints, width: int, depth: int, rows: Ints, children: Ints,
    chances: Floats, costs: Floats, calls: Floats, curves: Floats, thresholds: Floats,
    counts: Ints, ran: Ints, sums: Floats, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Run cycles of one cascade, or of two on shared coins; adds to `counts`, `ran`, `sums`.

    roots : (n_cascades,) row of the target of each; all are run in each cycle
    width : coins that a reviewer shares between the cascades in a cycle; 0: none
    depth : most reviews inside one another, the target's included
    rows, ..., thresholds : `Program.tables`
    counts : (n_cascades, most + 2) histograms of the tokens emitted
    ran : (n_rows,) calls, or rounds, of each row
    sums : (2, 2 n_cascades + 1, 2 n_cascades) sums of (tokens, cost) of each cascade in row
        0, of their products below, and what rounding has lost of each (Kahan's sum)

    One function, because to pass ten arrays to another takes longer than a cycle.
    """
    last = chances.shape[2] - 1
    frames = np.zeros((depth, 6), np.int64)  # reviews that wait while an inner one runs
    waiting = np.zeros((depth, 3))  # their uniform number, product of rates, cost
    coins = np.zeros((costs.size, width))
    used = np.zeros(costs.size, np.int64)
    drawn = np.zeros(costs.size, np.int64)
    values = np.zeros(2 * roots.size)
    for _ in range(n_cycles):
        drawn[:] = 0
        for which in range(roots.size):
            used[:] = 0
            level = 0
            node = roots[which]
            begins = True
            index = made = held = accepted = 0
            alive = True
            u = product = cost = 0.0
            while True:
                if begins:
                    begins = False
                    index = made = held = accepted = 0
                    alive = True
                    product, cost = 1.0, 0.0
                    reviewer = rows[node, 1]
                    at = used[reviewer]
                    if at >= width:
                        u = rng.random()
                    else:
                        used[reviewer] = at + 1
                        if at >= drawn[reviewer]:
                            coins[reviewer, at] = rng.random()
                            drawn[reviewer] = at + 1
                        u = coins[reviewer, at]
                if index == rows[node, 6]:  # all segments are there: the pass of this review
                    reviewer = rows[node, 1]
                    ran[node] += 1
                    cost += costs[reviewer] * curves[reviewer, held + 1]
                    if level == 0:
                        break
                    body, child, end = accepted, node, BONUS if alive else CORRECTED
                    level -= 1
                    node, index, made = frames[level, 0], frames[level, 1], frames[level, 2]
                    held, accepted = frames[level, 3], frames[level, 4]
                    alive = frames[level, 5] == 1
                    u, product = waiting[level, 0], waiting[level, 1]
                    cost += waiting[level, 2]
                else:
                    child = children[rows[node, 5] + index]
                    if rows[child, 3] == UNTIL:
                        if held >= rows[child, 4]:
                            index += 1
                            continue
                    else:
                        made += 1
                        if made == rows[child, 4]:
                            index += 1
                            made = 0
                    what = rows[child, 0]
                    if what == REVIEW:  # a round of it begins
                        frames[level, 0], frames[level, 1], frames[level, 2] = node, index, made
                        frames[level, 3], frames[level, 4] = held, accepted
                        frames[level, 5] = 1 if alive else 0
                        waiting[level, 0], waiting[level, 1], waiting[level, 2] = u, product, cost
                        level += 1
                        node = child
                        begins = True
                        continue
                    ran[child] += 1
                    cost += calls[child]
                    body, end = rows[child, 2] - 1, BONUS
                    if what == LEAF:  # a whole round at once: only its coins are random
                        reviewer = rows[child, 1]
                        at = used[reviewer]
                        if at >= width:
                            coin = rng.random()
                        else:
                            used[reviewer] = at + 1
                            if at >= drawn[reviewer]:
                                coins[reviewer, at] = rng.random()
                                drawn[reviewer] = at + 1
                            coin = coins[reviewer, at]
                        first = rows[child, 5]
                        length, body = body, 0
                        while body < length and coin < thresholds[first + body]:
                            body += 1
                        end = BONUS if body == length else CORRECTED
                # one call has put `body` tokens and one more in front of this review
                if alive:
                    for at in range(held, held + body):
                        product *= chances[child, 0, min(at, last)]
                        if u >= product:
                            alive = False
                            break
                        accepted += 1
                    if alive:
                        product *= chances[child, end, min(held + body, last)]
                        alive = u < product
                        if alive:
                            accepted += 1
                held += body + 1
            counts[which, accepted + 1] += 1
            values[2 * which] = accepted + 1
            values[2 * which + 1] = cost
        for i in range(-1, values.size):
            for j in range(values.size):
                value = values[j] if i < 0 else values[i] * values[j]
                value -= sums[1, i + 1, j]
                total = sums[0, i + 1, j] + value
                sums[1, i + 1, j] = (total - sums[0, i + 1, j]) - value
                sums[0, i + 1, j] = total
