"""What a notebook shows of a cascade and of a profile."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cscalc._html import escape, paragraphs, scrolled, table
from cscalc.acceptance import Independent
from cscalc.cascade import Cascade
from cscalc.diagram import cascade_svg
from cscalc.profile import Profile

WIDTHS = (1, 2, 4, 8, 16, 32)  # positions at which the cost of a reviewing pass is shown


def cascade_html(
    cascade: Cascade, names: Sequence[str] | None = None, *, one_shot: Collection[int] = ()
) -> str:
    """Diagram of a cascade over one line that says what kind it is."""
    picture = scrolled(cascade_svg(cascade, names, one_shot=one_shot))
    said = "no drafts"
    if cascade.drafts:
        said = f"up to {_counted(cascade.max_length, 'token')} before the target verifies"
    kind = f"{escape(cascade.kind)}: <code>{escape(cascade)}</code>" if cascade.drafts else "plain"
    return f"<div>{picture}<p>{kind}, {escape(said)}</p></div>"


def profile_html(profile: Profile) -> str:
    """Table of the models: acceptance rates by reviewer, costs, verification cost, evidence."""
    notes = list(_notes(profile))
    found = f"<div>{table(_models(profile))}"
    if profile.verify:
        found += paragraphs(["Cost of a pass over so many positions, in one-position passes:"])
        found += table(_verify(profile))
    return f"{found}{paragraphs(notes)}</div>"


def _models(profile: Profile) -> Iterator[Sequence[str]]:
    reviewers = [m for m in range(profile.n_drafts) if m not in profile.one_shot]
    yield (
        "model", "name", *(f"accepted by {profile.names[m]}" for m in reviewers),
        "cost (target passes)",
    )  # fmt: skip
    for model, name in enumerate(profile.names):
        rates = [f"{profile.alphas[m, model]:.4g}" if m < model else "" for m in reviewers]
        a_call = " a call, of any length" if model in profile.one_shot else ""
        yield str(model), name, *rates, f"{profile.cost(model):.4g}{a_call}"


def _verify(profile: Profile) -> Iterator[Sequence[str]]:
    yield "model", *map(str, WIDTHS)
    for model in sorted(profile.verify):
        known = profile.max_positions(model) or WIDTHS[-1]
        costs = profile.verify_costs(model, min(known, WIDTHS[-1]))
        yield (
            profile.names[model],
            *(f"{costs[width]:.4g}" if width < costs.size else "" for width in WIDTHS),
        )


def _notes(profile: Profile) -> Iterator[str]:
    if not isinstance(profile.acceptance, Independent):
        yield f"Acceptance: {profile.acceptance!r}"
    if profile.measurement is not None:
        yield _evidence(profile.measurement)


def _evidence(measurement: Mapping[str, Any]) -> str:
    """How much text is behind the numbers; a measurement may hold anything."""
    prompts, contexts = (measurement.get(name) for name in ("prompts", "contexts"))
    if not isinstance(prompts, Sequence) or not prompts:
        return "Measured."
    said = f"Measured on {_counted(len(prompts), 'prompt')}"
    if isinstance(contexts, Sequence) and all(isinstance(one, int) for one in contexts):
        said += f", {_counted(int(np.sum(contexts)), 'token')} of text"
    return f"{said}."


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
