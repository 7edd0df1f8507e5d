"""What a reader of a report must know besides its numbers: few prompts, other settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from cscalc.profile import Profile
from validate.gap import Group
from validate.report_limits import FEW
from validate.report_words import counted, group_title

SLACK = 1.05  # a draft that much dearer than one before it is out of order; less is chance


def notes(groups: Sequence[Group], run: Mapping[str, Any]) -> list[str]:
    """One sentence a caution, none where all is well.

    Parameters
    ----------
    groups : sequence of Group
    run : mapping
        ``Report.run``: "experiment" is what was measured with, "run" what was run with.
    """
    said = []
    for group in groups:
        if group.few:
            said.append(
                f"{_sentence(group_title(group))}: an interval from fewer than {FEW} prompts "
                "says nothing; run more of them."
            )
    rested = {g.n_measured for g in groups if g.name != "same" and g.n_measured is not None}
    said += [
        f"The prediction for held-out prompts rests on {counted(n, 'measured prompt')}: with "
        f"fewer than {FEW} its interval says nothing; measure on more."
        for n in sorted(rested)
        if n < FEW
    ]
    measured, ran = run.get("experiment", {}), run.get("run", {})
    lengths = [one.get("max_tokens") for one in (measured, ran)]
    if None not in lengths and lengths[0] != lengths[1]:
        said.append(
            f"The rates were measured on replies of up to {counted(lengths[0], 'token')}, but "
            f"this run's have up to {lengths[1]}, so even the prompts that were measured on are "
            f"not the same text; measure again with --max-tokens {lengths[1]} to compare like "
            "with like."
        )
    before, now = (_machine(one) for one in (measured, ran))
    if "device" in measured and "device" in ran and before != now:
        said.append(
            f"The costs were measured on {before}, but the run was on {now}: measure there."
        )
    return said


def profile_notes(profile: Profile) -> list[str]:
    """One sentence a caution about a measured profile: few prompts, drafts in a bad order.

    Examples
    --------
    >>> profile_notes(Profile([0.5, 0.6], [0.1, 0.2], names=["t", "small", "big"]))[0][:59]
    'big costs 0.2, more than small before it (0.1); a draft rev'
    """
    said = []
    prompts = (profile.measurement or {}).get("prompts")
    if prompts and len(prompts) < FEW:
        said.append(
            f"Measured on {counted(len(prompts), 'prompt')}: an interval from fewer than {FEW} "
            "says nothing; measure on more."
        )
    worst = 0.0
    for dear in range(2, profile.n_drafts + 1):
        before = min(range(1, dear), key=profile.cost)
        ratio = profile.cost(dear) / max(profile.cost(before), 1e-12)
        # two one-shot drafts review nothing, in either order
        if dear not in profile.one_shot and ratio > max(worst, SLACK):
            worst, pair = ratio, (dear, before)
    if worst:
        names, (dear, before) = profile.names, pair
        order = sorted(range(1, profile.n_drafts + 1), key=lambda m: -profile.cost(m))
        said.append(
            f"{names[dear]} costs {profile.cost(dear):.3g}, more than {names[before]} before it "
            f"({profile.cost(before):.3g}); a draft reviews only those after it, so order them "
            f"from dear to cheap: {', '.join(names[m] for m in order)}."
        )
    return said


def _machine(experiment: Mapping[str, Any]) -> str:
    """Device and engine: ``cpu, eager engine``."""
    engine = experiment.get("engine")
    if engine is None:
        name = "eager"
    elif engine.get("compile"):
        name = "compiled"
    else:
        name = "graphs" if engine.get("graphs") else "static"
    return f"{experiment.get('device')} with the {name} engine"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
