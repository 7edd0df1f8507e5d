"""Joint law of the tokens and the cost of one cycle, where acceptance is a table of rates.

Costs live on a lattice of steps. In the Fourier domain over the lattice a pass that costs k
steps is a factor z^k, so the dynamic program of `cscalc.theory.law` carries one polynomial in
place of each number. A rejected draft is still drafted to its end: the tokens that will be
emitted are then fixed, the cost is not, so the program remembers both.
"""

from fractions import Fraction
from math import ceil, floor, gcd, lcm

import numpy as np

from cscalc._checks import Floats
from cscalc.acceptance import BONUS, CORRECTED, KEPT, PROPOSED, BetaMixture
from cscalc.cascade import Cascade, Draft, Review, Segment, call_length, max_length, walk
from cscalc.profile import Profile

FINE = 256  # steps a cycle that a lattice common to all costs may have
COARSE = 128  # steps a cycle otherwise
COARSEST = 16  # steps a cycle where hundreds of kinds of prompts are averaged
NOISE = 1e-15  # of the Fourier transform, at most


def fixed_cost(cascade: Cascade, profile: Profile) -> float | None:
    """Cost of every cycle, or None if cycles differ."""
    return _call_costs(0, cascade.drafts, profile)[1]


def _call_costs(
    reviewer: int, drafts: tuple[Segment, ...], profile: Profile
) -> tuple[range, float | None]:
    """Tokens that a round can emit, and its cost if all rounds cost the same."""
    reached: dict[int, set[float]] = {0: {0.0}}
    emitted = range(1, max_length(drafts) + 2)
    for segment in drafts:
        lengths: range
        cost: float | None
        if isinstance(segment, Review):
            lengths, cost = _call_costs(segment.model, segment.drafts, profile)
        else:
            lengths = range(segment.length, segment.length + 1)
            cost = _draft_cost(segment, profile)
        if cost is None:
            return emitted, None
        calls = segment.rounds if isinstance(segment, Review) and segment.rounds else 1
        while segment.until is not None or calls:
            starts = [at for at in reached if segment.until is None or at < segment.until]
            if not starts:
                break
            calls -= 1
            starts = [min(starts)] if segment.until is not None else sorted(starts, reverse=True)
            for start in starts:
                spent = {round(before + cost, 12) for before in reached.pop(start)}
                for length in lengths:
                    reached.setdefault(start + length, set()).update(spent)
            if any(len(costs) > 1 for costs in reached.values()):
                return emitted, None
    totals = {
        round(spent + profile.pass_cost(reviewer, length + 1), 12)
        for length, costs in reached.items()
        for spent in costs
    }
    return emitted, totals.pop() if len(totals) == 1 else None


def _draft_cost(segment: Draft, profile: Profile) -> float:
    passes = 1 if segment.model in profile.one_shot else segment.length
    return passes * profile.cost(segment.model)


def lattice(cascade: Cascade, profile: Profile, cycle_cost: float) -> tuple[float, bool]:
    """Step of the cost lattice, and whether every pass costs a whole number of steps."""
    if isinstance(profile.acceptance, BetaMixture):
        return cycle_cost / COARSEST, False
    parts = {profile.pass_cost(0, m) for m in range(1, cascade.max_length + 2)}
    for segment in walk(cascade.drafts):
        if isinstance(segment, Review):
            most = max_length(segment.drafts) + 1
            parts |= {profile.pass_cost(segment.model, m) for m in range(1, most + 1)}
        else:
            parts.add(_draft_cost(segment, profile))
    exact = [Fraction(part).limit_denominator(10_000) for part in parts if part > 0.0]
    if all(abs(float(f) - p) <= 1e-12 for f, p in zip(exact, filter(None, parts), strict=True)):
        below = lcm(*(f.denominator for f in exact))
        unit = gcd(*(int(f * below) for f in exact)) / below
        if cycle_cost <= FINE * unit:
            return unit, True
    return cycle_cost / COARSE, False


def split(cost: float, step: float) -> tuple[int, float]:
    """Whole steps k and f: cost = (k + f) step; k + 1 gets the share f, so the mean is kept."""
    whole = floor(cost / step + 1e-9)
    return whole, max(0.0, cost / step - whole) if cost / step - whole > 1e-9 else 0.0


def most_steps(reviewer: int, drafts: tuple[Segment, ...], profile: Profile, step: float) -> int:
    """Most lattice steps that a round can take."""
    total = 0
    for segment in drafts:
        if isinstance(segment, Review):
            call = most_steps(segment.model, segment.drafts, profile, step)
        else:
            call = split(_draft_cost(segment, profile), step)[0] + 1
        calls = segment.rounds if isinstance(segment, Review) and segment.rounds else 1
        if segment.until is not None:
            calls = ceil(segment.until / call_length(segment)[0])
        total += calls * call
    reach = max_length(drafts) + 1
    dearest = max(profile.pass_cost(reviewer, m) for m in range(1, reach + 1))
    return total + split(dearest, step)[0] + 1


def joint_law(cascade: Cascade, profile: Profile, rates: Floats, step: float) -> Floats:
    """P(a cycle emits i tokens and costs g steps), shape (max_length + 2, steps).

    rates : (4, n + 1, n + 1, positions), as `cscalc.acceptance.rate_table` gives them.
    """
    size = most_steps(0, cascade.drafts, profile, step) + 1
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)  # (frequencies,)

    def price(cost: float) -> np.ndarray:
        whole, part = split(cost, step)
        return np.asarray(z**whole * (1.0 - part + part * z))

    def call(segment: Segment) -> dict[int, np.ndarray]:
        """By kind of the last token: (most + 1, frequencies), first index the tokens added."""
        if isinstance(segment, Review):
            return round_of(segment.model, segment.drafts)
        law = np.zeros((segment.length + 1, z.size), dtype=complex)
        law[segment.length] = price(_draft_cost(segment, profile))
        return {PROPOSED: law}

    def round_of(reviewer: int, drafts: tuple[Segment, ...]) -> dict[int, np.ndarray]:
        longest = max_length(drafts)
        # [e, l]: draft length l; e = 0 all accepted so far, else e tokens will be emitted
        held = np.zeros((longest + 2, longest + 1, z.size), dtype=complex)
        held[0, 0] = 1.0

        def make_call(length: int, segment: Segment, law: dict[int, np.ndarray]) -> None:
            before = held[:, length].copy()
            if not before.any():
                return
            held[:, length] = 0.0
            body = KEPT if isinstance(segment, Review) else PROPOSED
            least, most = call_length(segment)
            accepted = 1.0  # chance of the tokens before the last of the call
            fails: list[float] = []  # chance that the i-th is the first to fail
            for added in range(1, most + 1):
                end = length + added
                if added >= least:
                    total = sum(law[kind][added] for kind in law)
                    held[1:, end] += before[1:] * total
                    for position in range(length, end - 1):
                        held[position + 1, end] += before[0] * total * fails[position - length]
                    for kind, part in law.items():
                        alpha = rate(kind, reviewer, segment.model, end - 1)
                        moved = before[0] * part[added] * accepted
                        held[0, end] += moved * alpha
                        held[end, end] += moved * (1.0 - alpha)
                alpha = rate(body, reviewer, segment.model, end - 1)
                fails.append(accepted * (1.0 - alpha))
                accepted *= alpha

        for segment in drafts:
            law = call(segment)
            if segment.until is not None:
                for length in range(segment.until):
                    make_call(length, segment, law)
            else:
                for _ in range((isinstance(segment, Review) and segment.rounds) or 1):
                    for length in range(longest, -1, -1):  # ends lie above their start
                        make_call(length, segment, law)
        out = {kind: np.zeros((longest + 2, z.size), dtype=complex) for kind in (CORRECTED, BONUS)}
        for length in range(longest + 1):
            own = price(profile.pass_cost(reviewer, length + 1))
            out[CORRECTED][1:] += held[1:, length] * own
            out[BONUS][length + 1] = held[0, length] * own
        return out

    def rate(kind: int, reviewer: int, draft: int, position: int) -> float:
        return float(rates[kind, reviewer, draft, min(position, rates.shape[3] - 1)])

    found = round_of(0, cascade.drafts)
    law = np.fft.irfft(found[CORRECTED] + found[BONUS], n=size, axis=1)
    return np.asarray(np.where(law > NOISE, law, 0.0))
