"""Compiled kernels for worlds (`cscalc.simulate.worlds`); `slow_worlds` holds their twins.

As in `_kernels`, one uniform number serves all coins of one review. A state of the text is drawn
when a coin first asks for it.
"""

import math

import numpy as np
from numba import njit

from cscalc._checks import Floats
from cscalc.simulate.programs import Ints

TABLE, PROMPTS, TEXTS, CHAIN = range(4)
REVIEW = 1
UNTIL = 2
PROPOSED, KEPT, CORRECTED, BONUS = range(4)
TALLIES = 7  # of blocks: how many, and products of their cycles, tokens, cost


@njit(cache=True)
def one_cycle(
    kind: int, base: int, last_row: int, states: Ints, frames: Ints, waiting: Floats, ran: Ints,
    rng: np.random.Generator, rows: Ints, children: Ints, passes: Ints, costs: Floats,
    calls: Floats, curves: Floats, columns: Ints, table: Floats, firsts: Ints, lasts: Ints,
    easy: Floats, abstain: Floats, sigmas: Floats,
) -> tuple[int, float]:  # fmt: skip
    """Run one cycle: tokens emitted, cost.

    base, last_row : row of `table` of the prompt, or of the first and last place of the text
    states : (max_length + 2,) difficulty: [0] of the token before the cycle, [i] of its i-th;
        filled up to the last one emitted
    frames, waiting : (depth, 7) and (depth, 3), reviews that wait while an inner one runs
    ran : (n_rows,) calls or rounds of each row, added to
    rows, ... : `World.tables`
    """
    last_kind, last = table.shape[1] - 1, table.shape[3] - 1
    known = level = node = start = 0
    index = made = held = accepted = 0
    alive = begins = True
    u = product = cost = 0.0
    while True:
        if begins:
            begins = False
            index = made = held = accepted = 0
            alive = True
            product, cost = 1.0, 0.0
            u = rng.random()
        if index == rows[node, 6]:  # all segments are there: the pass of this review
            reviewer = rows[node, 1]
            ran[node] += 1
            paid = costs[reviewer] * curves[reviewer, held + 1]
            sigma = sigmas[reviewer]
            if sigma > 0.0:
                paid *= math.exp(sigma * rng.standard_normal() - 0.5 * sigma * sigma)
            cost += paid
            if level == 0:
                break
            body, kept, child, end = accepted, KEPT, node, BONUS if alive else CORRECTED
            level -= 1
            node, index, made = frames[level, 0], frames[level, 1], frames[level, 2]
            held, accepted = frames[level, 3], frames[level, 4]
            alive, start = frames[level, 5] == 1, frames[level, 6]
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
            if rows[child, 0] == REVIEW:  # a round of it begins
                frames[level, 0], frames[level, 1], frames[level, 2] = node, index, made
                frames[level, 3], frames[level, 4] = held, accepted
                frames[level, 5], frames[level, 6] = 1 if alive else 0, start
                waiting[level, 0], waiting[level, 1], waiting[level, 2] = u, product, cost
                level += 1
                node = child
                start += held
                begins = True
                continue
            model = rows[child, 1]
            ran[child] += 1
            sigma = sigmas[model]
            if sigma > 0.0:
                for _ in range(passes[child, model]):
                    z = rng.standard_normal()
                    cost += costs[model] * math.exp(sigma * z - 0.5 * sigma * sigma)
            else:
                cost += calls[child]
            if abstain[model] > 0.0 and rng.random() < abstain[model]:
                if rows[child, 3] == UNTIL:  # it would find nothing again
                    index += 1
                continue
            body, kept, end = rows[child, 2] - 1, PROPOSED, PROPOSED
        # one call has put `body` tokens and one more in front of this review
        for at in range(held, held + body + 1):
            if not alive:
                break
            row = base
            if kind == TEXTS:
                row = min(base + start + at, last_row)
            elif kind == CHAIN:
                while known <= start + at:
                    states[known + 1] = 0 if rng.random() < easy[states[known]] else 1
                    known += 1
                row = states[start + at + 1]
            what = end if at == held + body else kept
            product *= table[row, min(what, last_kind), columns[child], min(at, last)]
            alive = u < product
            if alive:
                accepted += 1
        held += body + 1
    if kind == CHAIN:
        while known <= accepted:
            states[known + 1] = 0 if rng.random() < easy[states[known]] else 1
            known += 1
    return accepted + 1, cost


@njit(cache=True)
def close_block(block: Floats, blocks: Floats) -> None:
    """Add a block's products to the sums over blocks, and begin the next."""
    if block[0] > 0.0:
        blocks[0] += 1.0
        at = 1
        for i in range(3):
            for j in range(i, 3):
                blocks[at] += block[i] * block[j]
                at += 1
        block[:] = 0.0


@njit(cache=True)
def add(sums: Floats, cost: float, tokens: float, weight: float) -> None:
    """Add (cost, cost squared, cost times tokens) to ``sums[0]`` (Kahan's sum)."""
    for i in range(3):
        value = weight * cost if i == 0 else weight * cost * cost if i == 1 else cost * tokens
        value -= sums[1, i]
        total = sums[0, i] + value
        sums[1, i] = (total - sums[0, i]) - value
        sums[0, i] = total


@njit(cache=True)
def begin(
    kind: int, place: Ints, states: Ints, firsts: Ints, lasts: Ints, easy: Floats,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Begin a text: place = (row of its next token, row of its last), states[0] before it."""
    if kind == TEXTS:
        text = int(rng.random() * firsts.size)
        place[0], place[1] = firsts[text], lasts[text]
    elif kind == CHAIN:
        states[0] = 0 if rng.random() < easy[2] else 1


@njit(cache=True)
def run_steps(
    n_steps: int, lockstep: bool, block_steps: int, reference: int, kind: int, picks: Ints,
    depth: int, places: Ints, states: Ints, block: Floats, counts: Ints, ran: Ints, sums: Floats,
    blocks: Floats, rng: np.random.Generator, rows: Ints, children: Ints, passes: Ints,
    costs: Floats, calls: Floats, curves: Floats, columns: Ints, table: Floats, firsts: Ints,
    lasts: Ints, easy: Floats, abstain: Floats, sigmas: Floats,
) -> None:  # fmt: skip
    """Run a batch of sequences for some steps, one cycle of each a step; one sequence will do.

    block_steps : steps a block; 0: a block begins with a text, or when the token before a
        cycle is in the state `reference` (one sequence only)
    picks : (n_steps * batch,) row of `table` of each cycle's prompt
    places, states : (batch, 2) and (batch, max_length + 2), where each sequence stands
    block, counts, sums, blocks : added to
    """
    batch = places.shape[0]
    frames = np.zeros((depth, 7), np.int64)
    waiting = np.zeros((depth, 3))
    emitted = np.zeros(batch, np.int64)
    for step in range(n_steps):
        dearest = 0.0
        worst = counts.size
        for i in range(batch):
            base = places[i, 0] if kind == TEXTS else picks[step * batch + i]
            emitted[i], cost = one_cycle(
                kind, base, places[i, 1], states[i], frames, waiting, ran, rng, rows, children,
                passes, costs, calls, curves, columns, table, firsts, lasts, easy, abstain,
                sigmas,
            )  # fmt: skip
            dearest = max(dearest, cost)
            worst = min(worst, emitted[i])
        total = 0
        ends = False
        for i in range(batch):
            keeps = worst if lockstep else emitted[i]
            if kind == TEXTS:
                keeps = min(keeps, places[i, 1] - places[i, 0] + 1)
                places[i, 0] += keeps
                if places[i, 0] > places[i, 1]:
                    begin(kind, places[i], states[i], firsts, lasts, easy, rng)
                    ends = True
            elif kind == CHAIN:
                states[i, 0] = states[i, keeps]
                ends = states[i, 0] == reference
            counts[keeps] += 1
            total += keeps
        add(sums, dearest, total, batch)
        block[0] += batch
        block[1] += total
        block[2] += batch * dearest
        if ends if block_steps == 0 else block[0] == block_steps * batch:
            close_block(block, blocks)


@njit(cache=True)
def run_replies(
    n_tokens: int, kind: int, picks: Ints, depth: int, states: Ints, spent: Floats, cycles: Ints,
    ran: Ints, rng: np.random.Generator, rows: Ints, children: Ints, passes: Ints,
    costs: Floats, calls: Floats, curves: Floats, columns: Ints, table: Floats, firsts: Ints,
    lasts: Ints, easy: Floats, abstain: Floats, sigmas: Floats,
) -> None:  # fmt: skip
    """Run one reply a pick: cycles until `n_tokens` are out.

    spent, cycles : (n_replies,) cost and cycles of each reply, filled in
    """
    frames = np.zeros((depth, 7), np.int64)
    waiting = np.zeros((depth, 3))
    place = np.zeros(2, np.int64)
    for reply in range(picks.size):
        begin(kind, place, states, firsts, lasts, easy, rng)
        made = 0
        while made < n_tokens:
            base = place[0] + made if kind == TEXTS else picks[reply]
            emitted, cost = one_cycle(
                kind, base, place[1], states, frames, waiting, ran, rng, rows, children, passes,
                costs, calls, curves, columns, table, firsts, lasts, easy, abstain, sigmas,
            )  # fmt: skip
            made += emitted
            cycles[reply] += 1
            spent[reply] += cost
            if kind == CHAIN:
                states[0] = states[emitted]
