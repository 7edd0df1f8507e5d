"""Replay of a cascade on a measured text: acceptance as it was at every place, no models run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cscalc._checks import Floats
from cscalc._fit import check_fit
from cscalc.cascade import Cascade, Review, Segment, wants_call
from cscalc.profile import Profile

# A token in front of a reviewer: its model, its place in the text, and for a one-shot draft
# the place of the call and the token's number in it.
Token = tuple[int, int, int]


@dataclass(slots=True)
class Replayed:
    """What the cycles of a replay emitted and cost.

    Attributes
    ----------
    emitted : list of int
        Tokens of each cycle, the last one not cut.
    costs : ndarray, shape (n_drafts + 1,)
        Cost of all passes of each model, in target passes.
    """

    emitted: list[int]
    costs: Floats

    @property
    def sums(self) -> Floats:
        """Tokens, cycles, then the costs by model: what adds up over prompts."""
        return np.concatenate([[float(sum(self.emitted)), float(len(self.emitted))], self.costs])


def replay(
    cascade: Cascade,
    profile: Profile,
    record: Mapping[str, Any],
    *,
    rng: np.random.Generator,
) -> Replayed:
    """Run the cycles of `cascade` along one measured text.

    Parameters
    ----------
    cascade : Cascade
    profile : Profile
        Costs of the models.
    record : mapping
        One prompt's record of `validate.measure`: "contexts", "overlap", "kept", "calls".
    rng : numpy.random.Generator
        Decides acceptance where it is not certain (sampled decoding).

    Returns
    -------
    Replayed

    Notes
    -----
    Given the text that the target wrote, a proposal of draft j in front of the target is kept
    with probability min(1, q/p) at the token written there, independently of place to place,
    so for drafts in front of the target the replay has the law of the decoder itself, and for
    greedy decoding it is the decoder's own run. Inner reviews use the overlap at the place,
    which is exact for greedy decoding up to the first token that the target rejects; tokens
    behind that one only count in the cost.
    """
    run = _Replay(cascade, profile, record, rng)
    place = 0
    while place < run.contexts:
        run.emitted.append(run.cycle(place))
        place += run.emitted[-1]
    return Replayed(run.emitted, run.costs)


class _Replay:
    """State of one replay."""

    def __init__(
        self,
        cascade: Cascade,
        profile: Profile,
        record: Mapping[str, Any],
        rng: np.random.Generator,
    ) -> None:
        self.cascade = cascade
        self.profile = profile
        self.contexts = int(record["contexts"])
        self.overlap: Mapping[str, Sequence[float]] = record["overlap"]
        self.kept: Mapping[str, Sequence[float]] = record["kept"]
        self.calls: Mapping[str, Sequence[Sequence[float]]] = record["calls"]
        self.proposed: Mapping[str, Sequence[int]] = record["proposed"]
        self.rng = rng
        self.emitted: list[int] = []
        self.costs = np.zeros(profile.n_drafts + 1)

    def cycle(self, place: int) -> int:
        tokens = self.segments(0, self.cascade.drafts, place)
        return len(self.review(0, tokens, place))

    def segments(self, reviewer: int, drafts: tuple[Segment, ...], place: int) -> list[Token]:
        tokens: list[Token] = []
        for segment in drafts:
            calls = 0
            while wants_call(segment, calls, len(tokens)):
                found = self.call(segment, place + len(tokens))
                tokens += found
                calls += 1
                if not found:
                    break
        return tokens

    def call(self, segment: Segment, place: int) -> list[Token]:
        if isinstance(segment, Review):
            inner = self.segments(segment.model, segment.drafts, place)
            return self.review(segment.model, inner, place)
        if segment.model in self.profile.one_shot:
            self.costs[segment.model] += self.profile.cost(segment.model)
            found = min(segment.length, self._found(segment, place))
            return [(segment.model, place, k) for k in range(found)]
        self.costs[segment.model] += segment.length * self.profile.cost(segment.model)
        return [(segment.model, place + k, 0) for k in range(segment.length)]

    def _found(self, segment: Segment, place: int) -> int:
        """Tokens that a one-shot draft proposes at `place`; past the text, what it did last."""
        proposed = self.proposed[str(segment.model)]
        return int(proposed[min(place, len(proposed) - 1)])

    def review(self, reviewer: int, tokens: list[Token], place: int) -> list[Token]:
        """Tokens that the reviewer emits: as many as accepted, and one."""
        self.costs[reviewer] += self.profile.pass_cost(reviewer, len(tokens) + 1)
        accepted = 0
        for token in tokens:
            if self.rng.random() >= self.chance(reviewer, token):
                break
            accepted += 1
        return [(reviewer, place + k, 0) for k in range(accepted + 1)]

    def chance(self, reviewer: int, token: Token) -> float:
        """Chance that `reviewer` keeps the token, where all before it are the text's own."""
        model, place, number = token
        pair = f"{reviewer},{model}"
        if model in self.profile.one_shot:
            if place >= self.contexts:
                return float(self.profile.alphas[reviewer, model])
            call = self.calls[pair][place]
            return float(call[number]) if number < len(call) else 0.0
        if place >= self.contexts:
            return float(self.profile.alphas[reviewer, model])
        return float((self.kept if reviewer == 0 else self.overlap)[pair][place])


def per_cycle(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Tokens per cycle, cycle cost and EWIF of summed `Replayed.sums`, shape (..., n + 3)."""
    tokens, cycles, cost = sums[..., 0], sums[..., 1], sums[..., 2:].sum(axis=-1)
    return tokens / cycles, cost / cycles, tokens / cost


def has_places(profile: Profile) -> bool:
    """Whether the profile's prompts hold what a replay needs."""
    records = (profile.measurement or {}).get("prompts") or [{}]
    return all({"overlap", "kept", "calls", "proposed"} <= set(record) for record in records)


def replay_prompts(
    cascade: Cascade, profile: Profile, *, rng: np.random.Generator, repeats: int | None = None
) -> dict[int, Floats]:
    """Mean `Replayed.sums` of every measured prompt of `profile`, by its number.

    Parameters
    ----------
    cascade : Cascade
    profile : Profile
        With measured prompts.
    rng : numpy.random.Generator
    repeats : int, optional
        Replays of each prompt; default 1 where acceptance is certain (greedy), else 8.

    Raises
    ------
    ValueError
        If the profile holds no measured prompts, or they lack what a replay needs.
    """
    records = (profile.measurement or {}).get("prompts")
    if not records:
        raise ValueError("this profile holds no measured prompts: make it with `validate.measure`")
    if not has_places(profile):
        raise ValueError("the profile's prompts hold no places of acceptance: measure again")
    if repeats is None:
        certain = all(
            x in (0.0, 1.0) for r in records for values in r["kept"].values() for x in values
        )
        repeats = 1 if certain else 8
    check_fit(cascade, profile)
    return {
        int(record["question_id"]): np.mean(
            [replay(cascade, profile, record, rng=rng).sums for _ in range(repeats)], axis=0
        )
        for record in records
        if record["contexts"]
    }
