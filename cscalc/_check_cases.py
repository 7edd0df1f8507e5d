"""Random cascades with profiles that fit them, and simulations with a planted error."""

import numpy as np

from cscalc.acceptance import (
    BONUS,
    CORRECTED,
    KEPT,
    PROPOSED,
    Acceptance,
    ByPosition,
    Conditional,
    Independent,
    rate_table,
)
from cscalc.cascade import Cascade, Draft, Review, Segment, call_length
from cscalc.profile import Profile
from cscalc.simulate.programs import experiment_of
from cscalc.simulate.streams import Stream
from cscalc.simulate.tally import Tally
from cscalc.stats import check_generator

MOST = 60  # tokens in front of the target
PLANTS = ("bonus", "verify", "after-rejection")


def random_case(rng: np.random.Generator) -> tuple[Cascade, Profile]:
    """Draw a cascade of one to three drafts, and a profile that fits it.

    Rates lie between 0.2 and 0.95: means of rarer events are not normal at 100,000 cycles,
    and the stated false-alarm rate would not hold.

    Examples
    --------
    >>> cascade, profile = random_case(np.random.default_rng(1))
    >>> profile.check(cascade)
    """
    check_generator(rng)
    n_drafts = int(rng.choice([1, 2, 3], p=[0.1, 0.3, 0.6]))
    cascade = Cascade(_segments(rng, 0, n_drafts, 3))
    while cascade.max_length > MOST:
        cascade = Cascade(_segments(rng, 0, n_drafts, 3))
    reviewers = {0, *cascade.reviewers}
    idle = [model for model in range(1, n_drafts + 1) if model not in reviewers]
    rising = 1.0 + np.outer(rng.uniform(0.0, 0.1, n_drafts + 1), np.arange(MOST + 1))  # V(m)
    profile = Profile(
        rng.uniform(0.2, 0.95, (n_drafts + 1, n_drafts + 1)),
        rng.uniform(0.01, 0.6, n_drafts),
        one_shot=[model for model in idle if rng.random() < 0.5],
        verify={model: rising[model] for model in reviewers if rng.random() < 0.5},
        acceptance=_acceptance(rng, n_drafts),
    )
    return cascade, profile


def _segments(
    rng: np.random.Generator, reviewer: int, n_drafts: int, most: int
) -> tuple[Segment, ...]:
    """Draw one to `most` segments in front of `reviewer`, each of which makes a call."""
    found: list[Segment] = []
    least = 0  # tokens that surely stand in front of the reviewer by now
    for _ in range(rng.integers(1, most, endpoint=True)):
        model = int(rng.integers(reviewer + 1, n_drafts, endpoint=True))
        until = least + int(rng.integers(1, 7))
        repeats = rng.random() < 0.5
        segment: Segment
        if model < n_drafts and rng.random() < 0.6:
            inner = _segments(rng, model, n_drafts, 2)
            rounds = int(rng.integers(1, 4))
            stop = {"until": until} if repeats else {"rounds": rounds}
            segment = Review(model, inner, **stop)
            sure = rounds * call_length(segment)[0]
        else:
            segment = Draft(model, int(rng.integers(1, 6)), until=until if repeats else None)
            sure = segment.length
        found.append(segment)
        least = max(least, until) if repeats else least + sure
    return tuple(found)


def _acceptance(rng: np.random.Generator, n_drafts: int) -> Acceptance:
    pairs = [(i, j) for j in range(1, n_drafts + 1) for i in range(j)]
    kind = rng.integers(3)
    if kind == 0:
        return Independent()
    if kind == 1:
        return ByPosition({pair: rng.uniform(0.2, 0.95, 3) for pair in pairs})
    kept, corrected, bonus = (
        {pair: float(rng.uniform(0.2, 0.95)) for pair in pairs} for _ in range(3)
    )
    return Conditional(kept=kept, corrected=corrected, bonus=bonus)


def simulate_with(
    plant: str | None,
    cascade: Cascade,
    profile: Profile,
    n_cycles: int,
    rng: np.random.Generator,
) -> Tally:
    """Simulate with a coin per token, in plain Python, with one of `PLANTS` or none.

    Examples
    --------
    >>> cascade, profile = Cascade((Draft(1, 1),)), Profile([1.0], [0.1])
    >>> [simulate_with(plant, cascade, profile, 10, np.random.default_rng(1)).tokens
    ...  for plant in (None, "bonus")]
    [20, 10]
    """
    rates = rate_table(profile.alphas, profile.acceptance)
    last = rates.shape[3] - 1
    passes = [0] * (profile.n_drafts + 1)
    cost = 0.0

    def call(segment: Segment) -> list[int]:
        """Kinds of the tokens that one call adds."""
        nonlocal cost
        if isinstance(segment, Review):
            return review(segment.model, segment.drafts)
        paid = 1 if segment.model in profile.one_shot else segment.length
        passes[segment.model] += paid
        cost += paid * profile.cost(segment.model)
        return [PROPOSED] * segment.length

    def review(reviewer: int, drafts: tuple[Segment, ...]) -> list[int]:
        """Kinds of the tokens emitted: accepted ones, and one of the reviewer's own."""
        nonlocal cost
        error = None if reviewer else plant  # only the target errs
        chances: list[float] = []  # of each token in front of the reviewer
        for segment in drafts:
            calls = getattr(segment, "rounds", None) or 1
            while len(chances) < segment.until if segment.until else calls > 0:
                calls -= 1
                for kind in call(segment):
                    at = min(len(chances), last)
                    chances.append(rates[kind, reviewer, segment.model, at])
        passes[reviewer] += 1
        if error != "verify":
            cost += profile.pass_cost(reviewer, len(chances) + 1)
        coins = rng.random(len(chances)) < chances
        accepted = len(chances) if coins.all() else int(np.argmin(coins))
        if error == "after-rejection":
            accepted = int(coins.sum())
        if accepted < len(chances):
            return [KEPT] * accepted + [CORRECTED]
        return [KEPT] * accepted + ([] if error == "bonus" else [BONUS])

    counts = [0] * (cascade.max_length + 2)
    sums = np.zeros(3)
    stream = Stream.of(rng, n_cycles)
    for _ in range(n_cycles):
        cost = 0.0
        emitted = len(review(0, cascade.drafts))
        counts[emitted] += 1
        sums += cost, cost**2, cost * emitted
    return Tally.of(experiment_of(cascade, profile), counts, passes, sums, stream)
