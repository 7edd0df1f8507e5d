"""Slow twin of `cscalc.theory.law`: dictionaries, recursion and one formula a model.

Acceptance is a function of the kind of token, reviewer, draft, position in front of the
reviewer, and place in the text. Mixtures are sums of such laws; difficulty that comes and goes
is a sum over all its paths.
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from cscalc._checks import Floats
from cscalc.acceptance import (
    BONUS,
    CORRECTED,
    KEPT,
    PROPOSED,
    BetaMixture,
    ByPosition,
    Conditional,
    Markov,
    Mixture,
    Trace,
)
from cscalc.cascade import Cascade, Review, Segment
from cscalc.profile import Profile

Rate = Callable[[int, int, int, int, int], float]  # kind, reviewer, draft, position, place
Emitted = dict[tuple[int, int], float]  # (tokens, kind of the last) -> chance
Law = tuple[Floats, Floats, Floats]  # pmf, passes, costs


def one_law(cascade: Cascade, profile: Profile, rate: Rate, place: int = 0) -> Law:
    """Law of a cycle whose first proposal stands at `place` of the text."""
    memory: dict[tuple[Segment, int], tuple[Emitted, Floats, Floats]] = {}

    def call(segment: Segment, at: int) -> tuple[Emitted, Floats, Floats]:
        """Law of the tokens one call adds; its passes and costs by model."""
        if isinstance(segment, Review):
            if (segment, at) not in memory:
                memory[segment, at] = round_of(segment.model, segment.drafts, at)
            return memory[segment, at]
        passes = np.zeros(profile.n_drafts + 1)
        passes[segment.model] = 1 if segment.model in profile.one_shot else segment.length
        return {(segment.length, PROPOSED): 1.0}, passes, passes * profile.cost(segment.model)

    def round_of(
        reviewer: int, drafts: tuple[Segment, ...], at: int
    ) -> tuple[Emitted, Floats, Floats]:
        reached, alive = {0: 1.0}, {0: 1.0}  # W and A of the Notes of `cycle_law`
        emitted: Emitted = {}
        passes, costs = np.zeros(profile.n_drafts + 1), np.zeros(profile.n_drafts + 1)

        def make_call(length: int, segment: Segment) -> None:
            nonlocal passes, costs
            law, call_passes, call_costs = call(segment, at + length)
            weight, kept = reached.pop(length), alive.pop(length)
            passes = passes + weight * call_passes
            costs = costs + weight * call_costs
            body = KEPT if isinstance(segment, Review) else PROPOSED
            for (added, last), chance in law.items():
                accepted = kept * chance
                for position in range(length, length + added):
                    kind = body if position < length + added - 1 else last
                    alpha = rate(kind, reviewer, segment.model, position, at + position)
                    i = position + 1
                    fails = accepted * (1 - alpha)
                    emitted[i, CORRECTED] = emitted.get((i, CORRECTED), 0.0) + fails
                    accepted *= alpha
                end = length + added
                reached[end] = reached.get(end, 0.0) + weight * chance
                alive[end] = alive.get(end, 0.0) + accepted

        for segment in drafts:
            if segment.until is not None:
                while short := [length for length in reached if length < segment.until]:
                    make_call(min(short), segment)
            else:
                calls = segment.rounds if isinstance(segment, Review) and segment.rounds else 1
                for _ in range(calls):
                    for length in sorted(reached, reverse=True):  # ends lie above their start
                        make_call(length, segment)
        for length, kept in alive.items():
            emitted[length + 1, BONUS] = emitted.get((length + 1, BONUS), 0.0) + kept
        passes[reviewer] += 1
        costs[reviewer] += sum(
            weight * profile.pass_cost(reviewer, length + 1) for length, weight in reached.items()
        )
        return emitted, passes, costs

    emitted, passes, costs = round_of(0, cascade.drafts, place)
    pmf = np.zeros(cascade.max_length + 2)
    for (tokens, _), chance in emitted.items():
        pmf[tokens] += chance
    return pmf, passes, costs


def law(cascade: Cascade, profile: Profile) -> Law:
    """Law of one cycle under the profile's acceptance model."""
    model = profile.acceptance
    if isinstance(model, Mixture):
        parts = [alphas_law(cascade, profile, one) for one in np.asarray(model.alphas)]
        return _average(parts, np.asarray(model.weights))
    if isinstance(model, BetaMixture):
        return _beta_law(cascade, profile, model.concentration)
    if isinstance(model, Markov):
        moves, passes, costs = markov_moves(cascade, profile, model)
        start = _watched(moves.sum(axis=0), model.stationary)
        return moves.sum(axis=1) @ start, start @ passes, start @ costs
    if isinstance(model, Trace):
        cycles, law = trace_totals(cascade, profile, model)
        return law[0] / cycles, law[1] / cycles, law[2] / cycles
    return one_law(cascade, profile, _table_rate(profile))


def alphas_law(cascade: Cascade, profile: Profile, alphas: Floats) -> Law:
    """Law of one cycle with independent acceptance at `alphas`."""
    return one_law(cascade, profile, lambda kind, i, j, position, place: float(alphas[i, j]))


def _table_rate(profile: Profile) -> Rate:
    model = profile.acceptance

    def rate(kind: int, i: int, j: int, position: int, place: int) -> float:
        if isinstance(model, ByPosition) and (i, j) in model.rates:
            rates = np.asarray(model.rates[i, j])
            return float(rates[min(position, rates.size - 1)])
        if isinstance(model, Conditional):
            tables = {KEPT: model.kept, CORRECTED: model.corrected, BONUS: model.bonus}
            table = tables.get(kind)
            if table and (i, j) in table:
                return float(table[i, j])
        return float(profile.alphas[i, j])

    return rate


def _average(parts: list[Law], weights: Floats) -> Law:
    def mean(k: int) -> Floats:
        return np.asarray(weights @ np.stack([part[k] for part in parts]))

    return mean(0), mean(1), mean(2)


def _beta_law(cascade: Cascade, profile: Profile, concentration: float) -> Law:
    from scipy.integrate import quad_vec
    from scipy.stats import beta

    n, size = profile.n_drafts + 1, cascade.max_length + 2
    inner = (profile.alphas > 0.0) & (profile.alphas < 1.0)
    safe = np.where(inner, profile.alphas, 0.5)

    def at_quantile(u: float) -> Floats:
        spread = beta.ppf(u, concentration * safe, concentration * (1.0 - safe))
        return np.concatenate(
            alphas_law(cascade, profile, np.where(inner, spread, profile.alphas))
        )

    joined, _ = quad_vec(at_quantile, 0.0, 1.0, epsabs=1e-9, epsrel=1e-9, limit=300)
    return joined[:size], joined[size : size + n], joined[size + n :]


def markov_moves(
    cascade: Cascade, profile: Profile, model: Markov
) -> tuple[Floats, Floats, Floats]:
    """P(m tokens, state of the last | state before), passes and costs by state before.

    Shapes (max_length + 2, 2 after, 2 before), (2 before, n + 1) twice. Sums over all paths of
    the difficulty, so only for short drafts.
    """
    places = cascade.max_length + 1
    moves = np.zeros((places + 1, 2, 2))
    passes = np.zeros((2, profile.n_drafts + 1))
    costs = np.zeros((2, profile.n_drafts + 1))
    alphas, steps = model.state_alphas, model.steps
    for path in product(range(2), repeat=places):

        def rate(
            kind: int, i: int, j: int, position: int, place: int, path: tuple[int, ...] = path
        ) -> float:
            return float(alphas[path[place], i, j])

        pmf, path_passes, path_costs = one_law(cascade, profile, rate)
        for before in range(2):
            chance = 1.0
            for a, b in zip((before, *path[:-1]), path, strict=True):
                chance *= steps[a, b]
            for tokens in range(1, places + 1):
                moves[tokens, path[tokens - 1], before] += chance * pmf[tokens]
            passes[before] += chance * path_passes
            costs[before] += chance * path_costs
    return moves, passes, costs


def _watched(moves: Floats, stationary: Floats) -> Floats:
    """Law of the state before a cycle in the long run; (after, before) in, (2,) out."""
    leaves_easy, leaves_hard = moves[1, 0], moves[0, 1]
    if leaves_easy + leaves_hard == 0.0:
        return stationary
    return np.asarray(np.array([leaves_hard, leaves_easy]) / (leaves_easy + leaves_hard))


def trace_totals(cascade: Cascade, profile: Profile, model: Trace) -> tuple[float, Law]:
    """Expected cycles of all texts together, and sums over them of pmf, passes and costs."""
    cycles = 0.0
    pmf = np.zeros(cascade.max_length + 2)
    passes, costs = np.zeros(profile.n_drafts + 1), np.zeros(profile.n_drafts + 1)
    for text, length in enumerate(model.lengths):
        overlaps = model.overlaps(text, profile.alphas)

        def rate(
            kind: int, i: int, j: int, position: int, place: int, overlaps: Floats = overlaps
        ) -> float:
            return float(overlaps[min(place, len(overlaps) - 1), i, j])

        starts = np.zeros(length)  # P(a cycle starts at this place)
        starts[0] = 1.0
        for place in range(length):
            law, cycle_passes, cycle_costs = one_law(cascade, profile, rate, place)
            for tokens in range(1, law.size):
                emits = min(tokens, length - place)
                pmf[emits] += starts[place] * law[tokens]
                if place + emits < length:
                    starts[place + emits] += starts[place] * law[tokens]
            passes += starts[place] * cycle_passes
            costs += starts[place] * cycle_costs
        cycles += float(starts.sum())
    return cycles, (pmf, passes, costs)
