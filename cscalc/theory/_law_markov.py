"""Law of one cycle when every place of the text is in one of a few states.

A reviewer's coins at a place depend on its state, and so do the coins of the reviewer it works
for. The law of an inner round alone is therefore not enough: it is needed with every emitted
token weighted by the chance that the reviewers outside accept it, a *tilt* by state. A node at
depth d needs d + 1 tilts: untilted, and one for each number of outer reviewers that still
accept everything. Slow twin: `cscalc.theory._law_slow.markov_moves`.
"""

from typing import NamedTuple

import numpy as np

from cscalc._checks import Floats
from cscalc.acceptance import Markov
from cscalc.cascade import Cascade, Draft, Review, Segment, max_length
from cscalc.profile import Profile


class _Call(NamedTuple):
    """One call, by tilt and by the states before it (a) and at its last token (b).

    ends : (tilts, most + 1, a, b), emits L tokens, all tilted
    grows : (tilts, most, a, b), emits more than j tokens; the first j tilted, b at the next
    passes, costs : (a, n + 1)
    """

    ends: Floats
    grows: Floats
    passes: Floats
    costs: Floats


class Moves(NamedTuple):
    """One cycle, given the state of the token before it.

    tokens : (max_length + 2, a, b), emits i tokens, the last of them in state b
    passes, costs : (a, n + 1), expected
    """

    tokens: Floats
    passes: Floats
    costs: Floats


def moves(cascade: Cascade, profile: Profile, steps: Floats, alphas: Floats) -> Moves:
    """Law of one cycle from each state: steps (S, S), alphas (S, n + 1, n + 1)."""
    n_states = steps.shape[0]

    def call(segment: Segment, tilts: Floats) -> _Call:
        if isinstance(segment, Review):
            return review(segment.model, segment.drafts, tilts)
        return draft(segment, tilts)

    def draft(segment: Draft, tilts: Floats) -> _Call:
        length = segment.length
        tilted = steps * tilts[:, None, :]  # (tilts, a, b)
        ends = np.zeros((len(tilts), length + 1, n_states, n_states))
        grows = np.empty((len(tilts), length, n_states, n_states))
        power = np.broadcast_to(np.eye(n_states), tilted.shape)
        for j in range(length):
            grows[:, j] = power @ steps
            power = power @ tilted
        ends[:, length] = power
        passes = np.zeros((n_states, profile.n_drafts + 1))
        passes[:, segment.model] = 1 if segment.model in profile.one_shot else length
        return _Call(ends, grows, passes, passes * profile.cost(segment.model))

    def review(reviewer: int, drafts: tuple[Segment, ...], tilts: Floats) -> _Call:
        size = max_length(drafts) + 1
        reached = np.zeros((size, n_states, n_states))  # W of `cycle_law`, by states
        alive = np.zeros((len(tilts), size, n_states, n_states))  # A, by tilt
        reached[0] = alive[:, 0] = np.eye(n_states)
        out = np.zeros((len(tilts), size + 1, n_states, n_states))
        grows = np.zeros((len(tilts), size, n_states, n_states))
        passes = np.zeros((n_states, profile.n_drafts + 1))
        costs = np.zeros((n_states, profile.n_drafts + 1))
        for segment in drafts:
            alpha = alphas[:, reviewer, segment.model]
            child = call(segment, np.concatenate([np.ones((1, n_states)), tilts * alpha]))
            most = child.grows.shape[1]
            fails = (tilts * (1.0 - alpha))[:, None, None, :]

            def make_call(
                length: int,
                child: _Call = child,
                most: int = most,
                fails: Floats = fails,
            ) -> None:
                nonlocal passes, costs
                weight, kept = reached[length].copy(), alive[:, None, length].copy()
                if not weight.any():
                    return
                reached[length] = alive[:, length] = 0.0
                passes = passes + weight @ child.passes
                costs = costs + weight @ child.costs
                after = slice(length + 1, length + 1 + most)
                reached[after] += (weight @ child.ends[0, 1:])[: size - length - 1]
                alive[:, after] += (kept @ child.ends[1:, 1:])[:, : size - length - 1]
                more = (kept @ child.grows[1:])[:, : size - length]
                grows[:, length : length + most] += more
                out[:, after] += more * fails

            if segment.until is not None:
                for length in range(segment.until):
                    make_call(length)
            else:
                for _ in range((isinstance(segment, Review) and segment.rounds) or 1):
                    for length in range(size - 1, -1, -1):  # ends lie above their start
                        make_call(length)
        bonus = alive @ steps
        grows += bonus
        out[:, 1:] += bonus * tilts[:, None, None, :]
        passes[:, reviewer] += 1.0
        curve = profile.verify_costs(reviewer, size)[1:]
        costs[:, reviewer] += profile.cost(reviewer) * (curve @ reached.sum(axis=2))
        return _Call(out, grows, passes, costs)

    found = review(0, cascade.drafts, np.ones((1, n_states)))
    return Moves(found.ends[0], found.passes, found.costs)


def markov_moves(cascade: Cascade, profile: Profile, model: Markov) -> Moves:
    """Law of one cycle given that the token before it is easy (0) or hard (1)."""
    return moves(cascade, profile, model.steps, model.state_alphas)


def watched(tokens: Floats, stationary: Floats) -> Floats:
    """Law of the state before a cycle in the long run, shape (2,).

    Where cycles never leave the state they start in, the stationary law of the chain.
    """
    total = tokens.sum(axis=0)
    out_of_easy, out_of_hard = total[0, 1], total[1, 0]
    leaves = out_of_easy + out_of_hard
    if leaves <= 0.0:
        return stationary
    return np.asarray(np.array([out_of_hard, out_of_easy]) / leaves)


def markov_law(cascade: Cascade, profile: Profile, model: Markov) -> tuple[Floats, Floats, Floats]:
    """pmf, passes and costs of a cycle picked at random in a long text."""
    found = markov_moves(cascade, profile, model)
    start = watched(found.tokens, model.stationary)
    return start @ found.tokens.sum(axis=2).T, start @ found.passes, start @ found.costs
