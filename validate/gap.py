"""The parts of a report: measured sums, predictions by prompt, terms of the gap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cscalc._checks import Floats
from cscalc.cascade import Cascade, Draft
from cscalc.choose import over_prompts
from cscalc.own_rates import own_profiles
from cscalc.profile import Profile
from cscalc.simulate import simulate
from cscalc.simulate.replay import per_cycle
from cscalc.theory.law import cycle_law
from validate.report_limits import FEW, Range, cut, possible

RESAMPLES = 2000
SIMULATED_CYCLES = 200_000
NO_BOUND = 1e3
QUANTITIES = {
    "tokens_per_cycle": "tokens per cycle",
    "cycle_cost": "cost of a cycle, in plain tokens' time",
    "speedup": "speed-up over plain decoding",
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval; low = high = value where nothing is random."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> "Estimate":
        return cls(value, value, value)

    def to_list(self) -> list[float]:
        """[value, low, high]."""
        return [self.value, self.low, self.high]

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Group:
    """One set of prompts: what was predicted, simulated and measured there.

    Attributes
    ----------
    name : str
        "same" (the prompts alpha was measured on) or "held-out".
    n_prompts : int
    pooled, own, simulated, measured : dict of quantity -> Estimate
        Predicted with one rate for all prompts; predicted with each prompt's own rates, place
        by place (on held-out prompts: with those of the measured prompts, and the interval
        that their spread implies); simulated with the pooled rates; measured.
    n_measured : int or None
        Prompts whose rates the prediction rests on; None in reports of older versions.
    """

    name: str
    n_prompts: int
    pooled: dict[str, Estimate]
    own: dict[str, Estimate]
    simulated: dict[str, Estimate]
    measured: dict[str, Estimate]
    n_measured: int | None = None

    @property
    def few(self) -> bool:
        """Whether there are too few prompts for their interval to say anything."""
        return self.n_prompts < FEW

    @property
    def judges(self) -> bool:
        """Whether the predicted interval can judge what was measured."""
        return not self.few and (self.n_measured is None or self.n_measured >= FEW)

    def gap(self, quantity: str) -> float:
        """Measured over predicted (own rates), minus 1."""
        return self.measured[quantity].value / self.own[quantity].value - 1.0


def sums_of(records: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Per prompt: cascade tokens, cycles, seconds; plain tokens, seconds. Shape (prompts, 5)."""
    return np.array(
        [
            (sum(r["cascade"]["emitted"]), len(r["cascade"]["emitted"]),
             r["cascade"]["decode_seconds"], sum(r["plain"]["emitted"]),
             r["plain"]["decode_seconds"])
            for r in records
        ],
        dtype=np.float64,
    )  # fmt: skip


def measured_of(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Measured quantities of summed columns, shape (..., 5)."""
    tokens, cycles, seconds, plain_tokens, plain_seconds = np.moveaxis(sums, -1, 0)
    unit = plain_seconds / plain_tokens  # seconds of a plain token
    return {
        "tokens_per_cycle": tokens / cycles,
        "cycle_cost": seconds / cycles / unit,
        "speedup": tokens / seconds * unit,
    }


def make_group(
    name: str,
    cascade: Cascade,
    profile: Profile,
    own: Mapping[int, Floats],
    records: Sequence[Mapping[str, Any]],
    rng: np.random.Generator,
) -> Group:
    sums = sums_of(records)  # (prompts, 5)
    picks = rng.integers(len(records), size=(RESAMPLES, len(records)))
    point = measured_of(sums.sum(axis=0))
    spread = measured_of(sums[picks].sum(axis=1))
    law = cycle_law(cascade, profile)
    pooled = {"tokens_per_cycle": law.mean, "cycle_cost": law.cost, "speedup": law.ewif}
    tally = simulate(cascade, profile, SIMULATED_CYCLES, rng=rng)
    low, high = tally.tokens_interval(0.95)
    half = 1.96 * tally.cost_sigma
    cost = tally.cost_per_cycle
    within = possible(cascade, profile)
    simulated = {
        "tokens_per_cycle": Estimate(tally.tokens_per_cycle, low, high),
        "cycle_cost": Estimate(cost, cost - half, cost + half),
        "speedup": Estimate(tally.ewif, *tally.interval(0.95)),
    }
    if name == "same":
        together = _quantities(sum(own[r["question_id"]] for r in records))
        own_part = {name: Estimate.exact(float(value)) for name, value in together.items()}
    else:
        own_part = _held_out_prediction(np.array(list(own.values())), len(records), rng)
    return Group(
        name,
        len(records),
        {k: Estimate.exact(v) for k, v in pooled.items()},
        _cut(own_part, within),
        _cut(simulated, within),
        {k: Estimate(float(point[k]), *_interval(spread[k])) for k in QUANTITIES},
        len(own),
    )


def _cut(part: Mapping[str, Estimate], within: Mapping[str, Range]) -> dict[str, Estimate]:
    """Intervals without what no cycle can do."""
    return {k: Estimate(e.value, *cut(e.value, e.low, e.high, within[k])) for k, e in part.items()}


def _quantities(sums: Any) -> dict[str, Any]:
    """Predicted quantities of summed replays: tokens, cycles, costs by model; shape (..., n)."""
    return dict(zip(QUANTITIES, per_cycle(sums), strict=True))


def _held_out_prediction(
    own: Floats, n_prompts: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """What replays of the measured prompts, (prompts, sums), predict for `n_prompts` others."""
    from scipy import stats

    centre = _quantities(own.sum(axis=0))
    if len(own) < 2:  # one prompt says nothing of the spread: no bound
        return {name: Estimate(float(v), 0.0, NO_BOUND) for name, v in centre.items()}
    future = _quantities(own[rng.integers(len(own), size=(RESAMPLES, n_prompts))].sum(axis=1))
    again = _quantities(own[rng.integers(len(own), size=(RESAMPLES, len(own)))].sum(axis=1))
    # few prompts: Student's t on the log scale, not percentiles, which come out too narrow
    wide = float(stats.t.ppf(0.975, len(own) - 1)) * np.sqrt(len(own) / (len(own) - 1))
    found = {}
    for name, value in centre.items():
        factor = np.exp(wide * np.std(np.log(future[name] / again[name])))
        found[name] = Estimate(float(value), float(value / factor), float(value * factor))
    return found


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def by_task(
    cascade: Cascade,
    profile: Profile,
    own: Mapping[int, Floats],
    records: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """By task: the target's rates of each draft, tokens per cycle, speed-up; predicted, measured.

    "own_" is predicted and "same_" measured on the prompts that the rates were measured on; what
    has no prefix is measured on all prompts.
    """
    pooled = cycle_law(cascade, profile).mean
    rates = own_profiles(profile)
    rows = []
    for task in sorted({r["category"] for r in records}):
        part = [r for r in records if r["category"] == task]
        mine = [r for r in part if r["question_id"] in own]
        row: dict[str, Any] = {
            "task": task,
            "prompts": len(part),
            "alphas": None,
            "pooled_tokens_per_cycle": pooled,
            "own_tokens_per_cycle": None,
            "own_speedup": None,
            "same_tokens_per_cycle": None,
            "same_speedup": None,
        }
        if mine:
            numbers = [r["question_id"] for r in mine]
            predicted = _quantities(sum(own[n] for n in numbers))
            same = measured_of(sums_of(mine).sum(axis=0))
            row["alphas"] = np.mean([rates[n].alphas[0, 1:] for n in numbers], axis=0).tolist()
            for quantity in ("tokens_per_cycle", "speedup"):
                row[f"own_{quantity}"] = float(predicted[quantity])
                row[f"same_{quantity}"] = float(same[quantity])
        measured = measured_of(sums_of(part).sum(axis=0))
        row["tokens_per_cycle"] = float(measured["tokens_per_cycle"])
        row["speedup"] = float(measured["speedup"])
        rows.append(row)
    return rows


def paired_gap(
    own: Mapping[int, Floats], records: Sequence[Mapping[str, Any]], rng: np.random.Generator
) -> dict[str, Estimate]:
    """Measured over predicted (own rates), minus 1, with 95 % intervals, by quantity.

    Only prompts that the rates were measured on. Each is drawn together with its own prediction,
    so what differs between prompts is no part of the interval.
    """
    both = [r for r in records if r["question_id"] in own]
    if not both:
        raise ValueError("no record is of a prompt that the rates were measured on: run those too")
    sums = sums_of(both)  # (prompts, 5)
    replayed = np.array([own[r["question_id"]] for r in both])
    picks = rng.integers(len(both), size=(RESAMPLES, len(both)))
    at, drawn = (
        (measured_of(sums[rows].sum(axis=-2)), _quantities(replayed[rows].sum(axis=-2)))
        for rows in (np.arange(len(both)), picks)
    )
    return {
        k: Estimate(float(at[0][k] / at[1][k] - 1.0), *_interval(drawn[0][k] / drawn[1][k] - 1.0))
        for k in QUANTITIES
    }


def cycle_times(
    cascade: Cascade,
    profile: Profile,
    own: Mapping[int, Floats],
    records: Sequence[Mapping[str, Any]],
) -> dict[str, dict[str, float]]:
    """Where the time of a cycle goes, in plain tokens' time: predicted and measured by model.

    Predicted with the prompts' own rates, place by place.
    """
    sums = sums_of(records).sum(axis=0)
    unit = sums[4] / sums[3]
    cycles = sums[1]
    chosen = [own[r["question_id"]] for r in records if r["question_id"] in own]
    replayed = np.sum(chosen or list(own.values()), axis=0)
    predicted, measured = {}, {}
    for model in (0, *cascade.models):
        name = profile.names[model]
        spent = sum(r["cascade"]["seconds"].get(str(model), 0.0) for r in records)
        predicted[name] = float(replayed[2 + model] / replayed[1])
        measured[name] = float(spent / cycles / unit)
    measured["outside the passes"] = float(sums[2] / cycles / unit - sum(measured.values()))
    return {"predicted": {**predicted, "outside the passes": 0.0}, "measured": measured}


def run_facts(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of a plain token, and proposals in front of the target in a cycle."""
    sums = sums_of(records).sum(axis=0)
    reviewed = sum(sum(r["cascade"]["reviewed"]) for r in records)
    return {
        "plain_token_seconds": float(sums[4] / sums[3]),
        "proposals_per_cycle": float(reviewed / sums[1]),
    }


def named_terms(
    cascade: Cascade, profile: Profile, group: Group, cycle: Mapping[str, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """Factors that multiply up to measured over predicted speed-up (one rate), named.

    One rate for all prompts; then a rate for each prompt; then its rates place by place; then
    the run itself; then the time of each model in the run against its measured cost.
    """
    each = over_prompts(cascade, list(own_profiles(profile).values()))
    pooled, own, measured = group.pooled, group.own, group.measured
    by_place = own["tokens_per_cycle"].value
    terms = [
        {
            "term": "acceptance differs between prompts",
            "factor": each[0] / pooled["tokens_per_cycle"].value,
        },
        {
            "term": "acceptance differs from place to place; copies run on",
            "factor": by_place / each[0],
        },
        {
            "term": "chance, and what a replay leaves out",
            "factor": measured["tokens_per_cycle"].value / by_place,
        },
        {
            "term": "fewer positions to verify where a draft has no proposal",
            "factor": pooled["cycle_cost"].value / own["cycle_cost"].value,
        },
    ]
    so_far = sum(cycle["predicted"].values())
    for name, cost in cycle["predicted"].items():
        actual = cycle["measured"][name]
        terms.append({"term": f"time of {name}", "factor": so_far / (so_far + actual - cost)})
        so_far += actual - cost
    return terms


def length_curves(cascade: Cascade, profile: Profile) -> dict[str, Any]:
    """EWIF against draft length for each draft alone, and the chosen cascade's point."""
    limit = profile.max_positions(0)
    most = 16 if limit is None else min(16, limit - 1)
    curves = {
        profile.names[model]: [
            cycle_law(Cascade((Draft(model, length),)), profile).ewif
            for length in range(1, most + 1)
        ]
        for model in range(1, profile.n_drafts + 1)
    }
    law = cycle_law(cascade, profile)
    return {
        "single": curves,
        "chosen": {"length": mean_draft_length(cascade, profile), "ewif": law.ewif},
    }


def mean_draft_length(cascade: Cascade, profile: Profile) -> float:
    """Mean number of proposals in front of the target, under the profile."""
    alphas = np.array(profile.alphas)
    alphas[0, 1:] = 1.0  # the target accepts everything, so a cycle emits the length + 1
    sure = Profile(alphas, profile.costs, one_shot=profile.one_shot)
    return cycle_law(cascade, sure).mean - 1.0
