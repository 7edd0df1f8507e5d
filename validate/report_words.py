"""What the report says in words, shared by its HTML page and its terminal tables."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cscalc.cascade import Cascade, Review, Segment, describe
from cscalc.plan import Plan
from validate.gap import QUANTITIES, Estimate, Group
from validate.report import Report
from validate.report_limits import FEW

OUTSIDE = "outside the passes"
SMALL = 1e-3  # a factor nearer to 1 than this is not worth a sentence
COLUMNS = {
    "predicted, one rate": "The exact formula, fed with one acceptance rate per pair of models, "
    "averaged over all prompts.",
    "predicted, own rates": "Each prompt's own rates, place by place: the cycles on the text "
    "that was measured, without running the cascade. Held-out prompts have none, so there it "
    "uses those of the others.",
    "simulated": "Cycles drawn at random from the same one rate: a check of the formula, which "
    "it must meet.",
    "measured": "What happened: this cascade and plain decoding ran on the same prompts with "
    "the same code, in turns.",
    "gap": "Measured over predicted with own rates, minus 1.",
}
ROWS = {
    "tokens_per_cycle": "What one cycle (all drafting, then one verification by the target) "
    "adds to the text. Plain decoding adds 1.",
    "cycle_cost": "How long a cycle takes, in the time that plain decoding takes for a token.",
    "speedup": "Tokens per cycle over cost of a cycle; 1 is plain decoding. The predicted value "
    "is called EWIF, the expected walltime improvement factor.",
}
INTERVALS = (
    "[low, high] is a 95 % interval; a number without one has no chance in it. From fewer than "
    f"{FEW} prompts an interval says nothing."
)
ALPHA = (
    "An acceptance rate is the chance that the reviewing model keeps a proposed token when it "
    "kept all before it: 1 always, 0 never."
)


def counted(count: int, noun: str) -> str:
    """Count and noun: ``1 token``, ``3 tokens``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def joined(names: Sequence[str]) -> str:
    """Names in a row: ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def short(name: str, most: int) -> str:
    """Cut a name to at most `most` letters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def notation(cascade: Cascade, names: Sequence[str]) -> str:
    """One line with model names, such as ``2 x [mid reviews tiny:3] + max-gram:10``."""
    return describe(cascade.drafts, names) or "plain decoding"


def steps(cascade: Cascade, names: Sequence[str]) -> list[str]:
    """What one cycle does, one sentence a step; the last is the target's verification.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> for step in steps(Cascade((Draft(1, 3), Draft(2, 4))), ["big", "mid", "tiny"]):
    ...     print(step)
    mid proposes 3 tokens.
    tiny proposes 4 tokens.
    big verifies them, up to 7, in one pass, and adds 1 token of its own.
    """
    lines = [f"{_phrase(segment, names)}." for segment in cascade.drafts]
    most = cascade.max_length
    if not lines:
        return [f"{names[0]} writes one token a pass, with no drafts."]
    what = "it" if most == 1 else f"them, up to {most},"
    return [*lines, f"{names[0]} verifies {what} in one pass, and adds 1 token of its own."]


def _phrase(segment: Segment, names: Sequence[str]) -> str:
    name = names[segment.model]
    if isinstance(segment, Review):
        inner = ", then ".join(_phrase(one, names) for one in segment.drafts)
        found = f"{inner}; {name} reviews and adds 1 token of its own"
        return f"({found}), {repeats(segment)}" if repeats(segment) else found
    found = f"{name} proposes {counted(segment.length, 'token')}"
    return f"{found} at a time, {repeats(segment)}" if repeats(segment) else found


def repeats(segment: Segment) -> str:
    """How often a segment is called: "" for once."""
    if segment.until is not None:
        return f"until {counted(segment.until, 'token')} are there"
    rounds = segment.rounds if isinstance(segment, Review) else 1
    return "" if rounds in (None, 1) else f"{rounds} times"


def title(report: Report) -> str:
    """Who works with whom: ``target with mid and max-gram``."""
    return title_of(report.cascade, report.names)


def title_of(cascade: Cascade, names: Sequence[str]) -> str:
    """The same of a cascade: ``target with mid and max-gram``, or ``target alone``."""
    drafts = [names[model] for model in cascade.models]
    return f"{names[0]} with {joined(drafts)}" if drafts else f"{names[0]} alone"


def group_title(group: Group) -> str:
    """What the prompts of a group are."""
    count = counted(group.n_prompts, "prompt")
    if group.name == "same":
        return f"{count} that the rates were measured on"
    if group.name == "held-out":
        return f"{count} held out: never measured on"
    return f"{count}: {group.name}"


def verdict(group: Group) -> str:
    """What the measured speed-up of a group says."""
    speed = group.measured["speedup"]
    if group.few:
        return f"too few prompts to say more ({group.n_prompts}; an interval needs {FEW})"
    if speed.low == speed.high:
        return "without an interval: all prompts alike"
    if speed.low > 1.0 or speed.high < 1.0:
        return f"clearly {'faster' if speed.low > 1.0 else 'slower'}"
    return "no clear difference"


def interval(estimate: Estimate, digits: int = 3) -> str:
    """Interval with a leading blank, or "" where none shows at so many digits."""
    value, low, high = (f"{x:.{digits}f}" for x in estimate.to_list())
    return "" if value == low == high else f" [{low},\u00a0{high}]"


def percent(factor: float) -> str:
    """A factor as a change, with a blank that does not break: ``-11.8 %``."""
    return f"{100.0 * (factor - 1.0):+.1f}\u00a0%"


def agreement(group: Group, quantity: str) -> str:
    """Whether what was measured lies in the predicted interval; "" where there is none.

    From fewer than `FEW` prompts an interval judges nothing: "too few prompts".
    """
    predicted, value = group.own[quantity], group.measured[quantity].value
    if not predicted.high - predicted.low > 1e-9 * abs(predicted.value):  # rounding is no chance
        return ""
    if not group.judges:
        return "too few prompts"
    inside = predicted.low <= value <= predicted.high
    return "in the predicted interval" if inside else "outside the predicted interval"


def gap_sentence(group: Group) -> str:
    """How far tokens per cycle and speed-up lie from their prediction."""
    tokens, speed = (percent(1.0 + group.gap(q)) for q in ("tokens_per_cycle", "speedup"))
    return (
        f"Against the prediction with own rates: {tokens} {QUANTITIES['tokens_per_cycle']}, "
        f"{speed} speed-up."
    )


def lossless_sentence(report: Report) -> str:
    """How many replies equal plain decoding's, and what that means."""
    same, count = report.run.get("same_tokens"), report.run.get("prompts")
    sampling = report.run.get("experiment", {}).get("sampling", {})
    if same is None or not count or not report.cascade.drafts:
        return ""
    if sampling.get("temperature") != 0.0:
        return (
            "Replies are drawn at random, so the cascade's differ from plain decoding's; the "
            "law they are drawn from is the same."
        )
    if same == count:
        return f"All {count} replies are token by token those of plain decoding."
    return (
        f"{same} of {count} replies are token by token those of plain decoding; rounding can "
        f"turn a near-tie between two tokens, anything else would be an error."
    )


def tasks_sentence(report: Report) -> str:
    """The first lesson: acceptance differs between tasks."""
    known = [t for t in report.tasks if t["own_tokens_per_cycle"] is not None]
    if len(known) < 2 or not report.cascade.drafts:
        return ""
    known.sort(key=lambda task: task["own_tokens_per_cycle"])
    low, high = known[0], known[-1]
    return (
        f"Acceptance is not one number: its own rates predict "
        f"{high['own_tokens_per_cycle']:.2f} tokens per cycle for {high['task']}, but "
        f"{low['own_tokens_per_cycle']:.2f} for {low['task']}; one rate for all predicts "
        f"{high['pooled_tokens_per_cycle']:.2f} everywhere."
    )


@dataclass(frozen=True, slots=True)
class Leftover:
    """One factor between predicted and measured speed-up."""

    term: str
    factor: float
    speed: float  # speed-up after this factor and those before it
    words: str


def leftovers(report: Report) -> list[Leftover]:
    """Factors that lead from the predicted to the measured speed-up, in order.

    They start at the prediction with one rate and end at what was measured; what the
    report's own terms do not explain is added as "not named", never dropped.
    """
    group = report.groups[0]
    speed, measured = group.pooled["speedup"].value, group.measured["speedup"].value
    found = []
    for one in report.residuals:
        speed *= one["factor"]
        found.append(Leftover(one["term"], one["factor"], speed, _meaning(one["term"], report)))
    rest = measured / speed
    if abs(math.log(rest)) > 1e-4:
        found.append(Leftover("not named", rest, measured, "No term of the report explains it."))
    return found


def leftover_sentence(report: Report) -> str:
    """Name the largest factor."""
    found = leftovers(report)
    most = max(found, key=lambda one: abs(math.log(one.factor)), default=None)
    if most is None or abs(most.factor - 1.0) < SMALL:
        return "Prediction and measurement agree: no term changes the speed-up by 0.1 %."
    way = "lowers" if most.factor < 1.0 else "raises"
    change = abs(100.0 * (most.factor - 1.0))
    return f"The largest term, “{most.term}”, {way} the speed-up by {change:.1f} %."


def _meaning(term: str, report: Report) -> str:
    if term.startswith("acceptance differs"):
        return (
            "Tokens per cycle do not grow in proportion to the rate, and hard prompts take "
            "more of the cycles, so one average rate misses."
        )
    if term.startswith("acceptance depends"):
        return (
            "The formula takes every token to be accepted on its own; in text, hard places "
            "come together. A finite number of cycles adds chance."
        )
    name = term.removeprefix("time of ")
    predicted, measured = (report.cycle[side].get(name) for side in ("predicted", "measured"))
    if predicted is None or measured is None:
        return ""
    if name == OUTSIDE:
        return (
            f"Choosing and checking tokens, bookkeeping: {measured:.3g} plain tokens' time a "
            f"cycle, which the formula leaves out."
        )
    return f"A cycle spent {measured:.3g} plain tokens' time in it; predicted {predicted:.3g}."


def limits(plan: Plan) -> str:
    """Within which limits the plan was searched: ``max length 64, proved yes``."""
    chosen_elsewhere = (
        {"own_rates", "chosen_on", "proved"} if "own_rates" in plan.limits else set()
    )
    shown = {key: value for key, value in plan.limits.items() if key not in chosen_elsewhere}
    said = {True: "yes", False: "no"}
    return ", ".join(
        f"{key.replace('_', ' ')} {said[value] if isinstance(value, bool) else value}"
        for key, value in shown.items()
    )


def rivals_sentence(report: Report) -> str:
    """Which drafts alone have a higher EWIF than the chosen cascade, and why; "" if none has."""
    chosen = report.curves["chosen"]["ewif"] * (1.0 + 1e-6)
    rivals = [name for name, curve in report.curves["single"].items() if max(curve) > chosen]
    if not rivals:
        return ""
    return (
        f"So computed, {joined(rivals)} alone would be faster than the cascade that ran. One "
        f"rate for all flatters a draft that copies: most cycles run where it is not accepted."
    )


def settings(report: Report) -> list[tuple[str, str]]:
    """Settings, versions and machine as (name, value), nested names joined by a blank."""
    run = report.run
    parts = {
        "": run.get("experiment", {}),
        "prompts run": run.get("prompts"),
        "measured with": run.get("measured", {}),
    }
    rows = [row for name, value in parts.items() for row in _flat(name, value)]
    return [(name.replace("_", " "), value) for name, value in rows if value]


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(key if name in ("", "measured with") else f"{name} {key}", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield name, ", ".join(str(item) for item in value)
    elif value is not None:
        yield name, str(value)
