"""The terms of a diagnosis: what a run would have been without each."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cscalc._checks import Floats
from cscalc._search_neighbours import neighbours
from cscalc.cascade import Cascade, Draft, Review, Segment, describe, walk
from cscalc.profile import Profile
from cscalc.simulate.replay import has_places, per_cycle, replay_prompts
from cscalc.theory.break_even import BreakEven, break_even_alpha, break_even_cost
from cscalc.theory.law import cycle_law
from validate.gap import Group, mean_draft_length
from validate.report import Report

SMALL = 1e-3  # a factor nearer to 1 is not worth a sentence
OUTSIDE = "outside the passes"
PRICE = (  # what speculative decoding costs by its nature; everything else can be avoided
    "rejected proposals", "time of drafting", "fixed time of a draft's pass",
    "verification is not free",
)  # fmt: skip
ADVICE = {
    "rejected proposals": "a better draft, or one trained on such prompts",
    "a draft below break-even": "leave it out, or draft less with it",
    "time of drafting": "a smaller or one-shot draft, fewer proposals",
    "fixed time of a draft's pass": "fewer kernel launches a pass: CUDA graphs, torch.compile, "
    "fewer layers",
    "verification is not free": "shorter drafts; kernels that read weights once for all positions",
    "passes slower than measured": "measure and run under the same load, context and threads",
    "sampling": "fewer candidates to sort (top-k before top-p), sampling on the device",
    "bookkeeping and waiting": "fewer reads from the device in a cycle",
    "prompts unlike the measured ones": "measure on prompts like those that are run",
    "draft lengths": "the lengths named",
}


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that costs speed.

    Attributes
    ----------
    name : str
    factor : float
        Speed-up without it over the measured speed-up, all else as it was; above 1 is lost.
    tokens_per_second : float or None
        What that is worth; None where plain decoding's speed is not known.
    sentence : str
        What was found, with its numbers.
    """

    name: str
    factor: float
    tokens_per_second: float | None
    sentence: str

    @property
    def avoidable(self) -> bool:
        """Whether it is a loss, not the price of drafting and verifying as such."""
        return self.name not in PRICE

    @property
    def remedy(self) -> str:
        """What helps against it."""
        return ADVICE[self.name]


class Case:
    """Numbers of one run that the terms share."""

    def __init__(self, profile: Profile, report: Report) -> None:
        self.profile, self.cascade = profile, report.cascade
        self.group: Group = report.groups[0]
        self.predicted: Mapping[str, float] = report.cycle["predicted"]
        self.measured: Mapping[str, float] = report.cycle["measured"]
        self.tokens = self.group.measured["tokens_per_cycle"].value
        self.cost = self.group.measured["cycle_cost"].value
        self.speed = self.group.measured["speedup"].value
        self.used = self.cascade.models
        facts = profile.measurement or {}
        self.facts = facts
        unit = report.run.get("plain_token_seconds") or facts.get("pass_seconds")
        self.unit: float | None = None if unit is None else float(unit)
        counted = report.run.get("proposals_per_cycle")
        at_most = mean_draft_length(self.cascade, profile)
        self.proposals = at_most if counted is None else float(counted)

    def terms(self) -> list[Term]:
        """Every term that has an effect, the largest first."""
        found = [term for term in self._terms() if abs(math.log(term.factor)) > 1e-12]
        return sorted(found, key=lambda term: -term.factor)

    def _terms(self) -> Iterator[Term]:
        if self.cascade.drafts:
            yield self._rejected()
            yield from self._below_break_even()
            yield self._drafting()
            yield from self._fixed_time()
            yield self._verification()
        yield self._slower()
        yield from self._outside()
        yield self._other_prompts()
        yield from self._lengths()

    def _term(self, name: str, factor: float, sentence: str) -> Term:
        worth = None if self.unit is None else (factor - 1.0) * self.speed / self.unit
        return Term(name, float(factor), worth, sentence)

    def _without(self, name: str, time: float, sentence: str) -> Term:
        """Term whose time, in plain tokens' time a cycle, would be gone."""
        return self._term(name, self.cost / (self.cost - time), sentence)

    def _rejected(self) -> Term:
        length = self.proposals
        rates = ", ".join(
            f"{100 * self.profile.alphas[0, m]:.0f} % of those of {self.profile.names[m]}"
            for m in self._in_front()
        )
        return self._term(
            "rejected proposals",
            (length + 1.0) / self.tokens,
            f"of {length:.2f} proposals a cycle the target keeps {self.tokens - 1.0:.2f}; it "
            f"accepts {rates} when it comes to them.",
        )

    def _below_break_even(self) -> Iterator[Term]:
        now = cycle_law(self.cascade, self.profile).ewif
        for draft in self.drafts():
            without = cycle_law(_leave_out(self.cascade, draft["model"]), self.profile).ewif
            if without > now * (1.0 + SMALL):
                rate = draft["break_even_alpha"]
                needs = "at no rate" if rate is None else f"from a rate of {rate:.2f} on"
                yield self._term(
                    "a draft below break-even",
                    without / now,
                    f"{draft['name']} is accepted at a rate of {draft['alpha']:.2f} and costs "
                    f"{draft['cost']:.3g} target passes; at that cost it pays {needs}.",
                )

    def _drafting(self) -> Term:
        times = {self.profile.names[m]: self.measured[self.profile.names[m]] for m in self.used}
        parts = ", ".join(f"{name} {time:.3g}" for name, time in times.items())
        return self._without(
            "time of drafting",
            sum(times.values()),
            f"drafts take {sum(times.values()):.3g} of the {self.cost:.3g} plain tokens' time of "
            f"a cycle ({parts}).",
        )

    def _fixed_time(self) -> Iterator[Term]:
        sizes = self.facts.get("parameters", {})
        for model in self.used:
            name = self.profile.names[model]
            if str(model) not in sizes or "0" not in sizes or model in self.profile.one_shot:
                continue
            share = sizes[str(model)] / sizes["0"]
            cost = self.profile.cost(model)
            extra = self.measured[name] * max(0.0, 1.0 - share / cost)
            yield self._without(
                "fixed time of a draft's pass",
                extra,
                f"{name} has {100 * share:.2g} % of the target's parameters, but its pass takes "
                f"{100 * cost:.2g} % of the target's time; the rest does not shrink with size.",
            )

    def _verification(self) -> Term:
        name = self.profile.names[0]
        positions = self.proposals + 1.0
        return self._without(
            "verification is not free",
            self.measured[name] * (1.0 - 1.0 / self.predicted[name]),
            f"a pass over {positions:.1f} positions costs {self.predicted[name]:.3f} passes over "
            "one.",
        )

    def _slower(self) -> Term:
        names = [self.profile.names[m] for m in (0, *self.used)]
        late = {name: self.measured[name] - self.predicted[name] for name in names}
        parts = ", ".join(f"{name} {time:+.3g}" for name, time in late.items())
        return self._without(
            "passes slower than measured",
            sum(late.values()),
            f"against their measured costs, passes of a cycle took {sum(late.values()):+.3g} "
            f"plain tokens' time ({parts}).",
        )

    def _outside(self) -> Iterator[Term]:
        outside = self.measured[OUTSIDE]
        share = 100.0 * outside / self.cost
        drawn = self._sampling()
        if drawn is None:
            said = f"{share:.1f} % of the time is outside of passes (sampling included)."
            yield self._without("bookkeeping and waiting", outside, said)
            return
        drawn = min(drawn, outside)
        yield self._without(
            "sampling",
            drawn,
            f"turning logits into laws and drawing takes {100 * drawn / self.cost:.1f} % of the "
            "time, by the measured cost of a law.",
        )
        rest = 100.0 * (outside - drawn) / self.cost
        said = f"{rest:.1f} % of the time is neither in passes nor in sampling."
        yield self._without("bookkeeping and waiting", outside - drawn, said)

    def _sampling(self) -> float | None:
        """Plain tokens' time a cycle spends on laws and draws; None if it was not measured."""
        seconds = self.facts.get("sampling_seconds")
        if not seconds or self.unit is None:
            return None
        widths = sorted(map(int, seconds))
        known: list[float] = [seconds[str(width)] for width in widths]
        spent = float(np.interp(self.proposals + 1.0, widths, known))
        for model in self.used:
            if model not in self.profile.one_shot:
                passes = self.predicted[self.profile.names[model]] / self.profile.cost(model)
                spent += passes * known[0]
        return (spent - known[0]) / self.unit  # a plain token is drawn as well

    def _other_prompts(self) -> Term:
        expected = self.group.own["tokens_per_cycle"]
        inside = expected.low <= self.tokens <= expected.high and expected.low < expected.high
        words = "within" if inside else "not within"
        spread = (
            f" ({words} the predicted [{expected.low:.2f}, {expected.high:.2f}])"
            if expected.high - expected.low > 1e-9 * expected.value
            else ""
        )
        return self._term(
            "prompts unlike the measured ones",
            expected.value / self.tokens,
            f"{self.tokens:.2f} tokens a cycle, where the measured prompts predict "
            f"{expected.value:.2f}{spread}.",
        )

    def _lengths(self) -> Iterator[Term]:
        if not self.cascade.drafts or not has_places(self.profile):
            return
        limit = self.profile.max_positions(0)
        most = 16 if limit is None else min(16, limit - 1)
        best, speed = self.cascade, self._replayed(self.cascade)
        now, better = speed, True
        while better:
            better = False
            for one in neighbours(best, most, pairs=False):
                same = _shape(one.drafts) == _shape(best.drafts)
                if same and (limit is None or one.max_length < limit):
                    found = self._replayed(one)
                    if found > speed * (1.0 + 1e-9):
                        best, speed, better = one, found, True
        if best != self.cascade:
            names = self.profile.names
            yield self._term(
                "draft lengths",
                speed / now,
                f"on the measured texts {describe(best.drafts, names)} reaches {speed:.2f}, "
                f"{describe(self.cascade.drafts, names)} {now:.2f}.",
            )

    def _replayed(self, cascade: Cascade) -> float:
        rng = np.random.default_rng(0)  # the same numbers for every cascade
        sums: list[Floats] = list(replay_prompts(cascade, self.profile, rng=rng).values())
        return float(per_cycle(np.sum(sums, axis=0))[2])

    def _in_front(self) -> list[int]:
        return list(dict.fromkeys(segment.model for segment in self.cascade.drafts))

    def drafts(self) -> Iterator[dict[str, Any]]:
        """Rates and costs of the drafts beside those at which each starts to pay."""
        for model in self.used:
            without = _leave_out(self.cascade, model)
            reviewer = next(r for r, s in _reviewed(0, self.cascade.drafts) if s.model == model)
            arguments = without, self.cascade, self.profile, model
            rate = break_even_alpha(*arguments, reviewer) if self._independent() else None
            yield {
                "model": model,
                "name": self.profile.names[model],
                "reviewer": reviewer,
                "alpha": float(self.profile.alphas[reviewer, model]),
                "break_even_alpha": None if rate is None else _from(rate, "above"),
                "cost": self.profile.cost(model),
                "break_even_cost": _from(break_even_cost(*arguments), "below"),
            }

    def _independent(self) -> bool:
        return self.profile.acceptance.kind == "independent"


def _from(found: BreakEven, side: str) -> float | None:
    """Where a draft starts to pay; None where it never does, or always."""
    if found.pays == "always":
        return 0.0 if side == "above" else None
    return found.value if found.pays == side else None


def _leave_out(cascade: Cascade, model: int) -> Cascade:
    """The cascade without a model: its drafts, and reviews by it, are gone."""

    def rest(drafts: tuple[Segment, ...]) -> Iterator[Segment]:
        for segment in drafts:
            if segment.model == model:
                continue
            if isinstance(segment, Review):
                inner = tuple(rest(segment.drafts))
                if inner:
                    yield Review(segment.model, inner, rounds=segment.rounds, until=segment.until)
                else:  # a reviewer with nothing to review drafts itself
                    yield Draft(segment.model, segment.rounds or segment.until or 1)
            else:
                yield segment

    return Cascade(tuple(rest(cascade.drafts)))


def _reviewed(reviewer: int, drafts: tuple[Segment, ...]) -> Iterator[tuple[int, Segment]]:
    for segment in drafts:
        yield reviewer, segment
        if isinstance(segment, Review):
            yield from _reviewed(segment.model, segment.drafts)


def _shape(drafts: tuple[Segment, ...]) -> list[tuple[str, int]]:
    """Who drafts and reviews, without lengths."""
    return [(type(segment).__name__, segment.model) for segment in walk(drafts)]
