"""What a plan says in words: what was chosen, on which rates, against what, and how surely."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cscalc.acceptance import Independent
from cscalc.cascade import Cascade, Draft, Segment, describe, walk
from cscalc.profile import Profile

if TYPE_CHECKING:
    from cscalc.plan import Plan


def sentences(plan: "Plan") -> Iterator[str]:
    """Yield what `Plan.explain` says, one sentence or two a line."""
    own = plan.limits.get("own_rates")
    head = "Best" if own is None else f"Chosen on {plan.limits['chosen_on']}"
    yield f"{head}: {_shown(plan, plan.cascade)} ({plan.kind})."
    yield from _numbers(plan)
    if own is None:
        for model in range(1, plan.profile.n_drafts + 1):
            yield _verdict(plan, model)
    else:
        yield from _one_rate(plan)
    yield from _limits_reached(plan)
    yield from _assumed(plan.profile)
    yield from _optimality(plan)


def curve_ends(profile: Profile, most_tokens: int) -> dict[int, int]:
    """Positions at which a verification cost ends, by reviewer, where that limits the search.

    Examples
    --------
    >>> curve_ends(Profile([0.9], [0.01], verify=[1.0, 1.4, 1.5]), most_tokens=256)
    {0: 3}
    """
    known = {model: profile.max_positions(model) for model in profile.verify}
    reviewers = range(profile.n_drafts)  # the last draft has nothing to review
    return {
        m: most for m, most in known.items() if most and m in reviewers and most <= most_tokens
    }


def break_even_anew(profile: Profile, max_length: int) -> float | None:
    r"""Largest cost at which a lone draft pays if its length is chosen anew; None if not known.

    Notes
    -----
    With independent acceptance a draft of :math:`\gamma` tokens pays if and only if its expected
    tokens E, Eq. (1) of Leviathan et al. (ICML 2023, arXiv:2211.17192), exceed
    :math:`V(\gamma + 1) + \gamma c`, with c instead of :math:`\gamma c` for a one-shot draft. So
    the bound is :math:`\max_\gamma (E - V) / \gamma`. Verification at no extra cost makes that
    :math:`\alpha` itself, at :math:`\gamma = 1`: their Corollary 3.9 and its converse.

    Examples
    --------
    >>> round(break_even_anew(Profile([0.8], [0.1]), max_length=64), 12)
    0.8
    """
    if profile.n_drafts != 1 or not isinstance(profile.acceptance, Independent):
        return None
    known = profile.max_positions(0)
    longest = max_length if known is None else min(max_length, known - 1)
    if longest < 1:
        return None
    lengths = np.arange(1, longest + 1)
    gained = np.cumsum(float(profile.alphas[0, 1]) ** lengths)  # E - 1
    more = profile.verify_costs(0, longest + 1)[2:] - 1.0
    passes = np.ones(longest) if 1 in profile.one_shot else lengths
    return float(((gained - more) / passes).max())


def _numbers(plan: "Plan") -> Iterator[str]:
    own, law = plan.limits.get("own_rates"), plan.law
    if own is not None:
        how = {"replay": ", by replay of what was measured place by place"}.get(own.get("by"), "")
        yield (
            f"EWIF {own['ewif']:.4g} over these prompts, each at its own rates{how}: "
            f"{own['tokens_per_cycle']:.4g} tokens per cycle / {own['cycle_cost']:.4g} target "
            f"passes per cycle. This number chose."
        )
    at_one_rate = "" if own is None else " at one pooled rate for all prompts (plan.ewif)"
    yield (
        f"EWIF {plan.ewif:.4g}{at_one_rate} = {law.mean:.4g} tokens per cycle / "
        f"{law.cost:.4g} target passes per cycle."
    )
    names = plan.profile.names
    spent = [(float(c), names[m]) for m, c in enumerate(law.costs) if c > 0.0]
    parts = ", ".join(f"{name} {100 * c / law.cost:.1f} %" for c, name in sorted(spent)[::-1])
    pooled = "" if own is None else ", at the pooled rate"
    yield f"Where a cycle's time goes{pooled}: {parts}."


def _one_rate(plan: "Plan") -> Iterator[str]:
    """How the table of a plan that was chosen on own rates reads."""
    yield (
        "The alternatives are ranked by their EWIF at the pooled rate, not by the number that "
        "chose."
    )
    top = plan.alternatives[0]
    if top.cascade != plan.cascade:
        yield (
            f"With one rate for all prompts {_shown(plan, top.cascade)} would look better "
            f"(EWIF {top.ewif:.4g}); prompts on which it accepts little have most of the "
            f"cycles, which one rate hides."
        )


def _verdict(plan: "Plan", model: int) -> str:
    name = plan.profile.names[model]
    if model in plan.cascade.models:
        rival = plan.best_without(model)
        longest = plan.limits.get("max_length")
        anew = None if longest is None else break_even_anew(plan.profile, longest)
        more = "" if anew is None else f"; with the length chosen anew, up to {anew:.4g}"
        return (
            f"{name} pays: without it the best is {_shown(plan, rival.cascade)} at EWIF "
            f"{rival.ewif:.4g}; with these lengths unchanged, it pays up to a cost of "
            f"{plan.cost_break_even(model):.4g} (now {plan.profile.cost(model):.4g}){more}."
        )
    rival_with = next((a for a in plan.alternatives if model in a.cascade.models), None)
    if rival_with is None:
        return f"{name} does not pay."
    return (
        f"{name} does not pay: its best use, {_shown(plan, rival_with.cascade)}, gives "
        f"{rival_with.ewif:.4g}."
    )


def _limits_reached(plan: "Plan") -> Iterator[str]:
    """Where the chosen cascade could not be longer, or nothing longer was searched."""
    longest = plan.limits.get("max_length")
    if longest is None:
        return
    ends: dict[tuple[int, bool], list[str]] = {}
    for model, most in curve_ends(plan.profile, plan.limits.get("most_tokens", longest)).items():
        reached = _positions(plan.cascade.drafts, 0, model) >= most
        if reached or most <= longest:
            ends.setdefault((most, reached), []).append(plan.profile.names[model])
    for (most, reached), names in ends.items():
        stop = "the chosen cascade stops there" if reached else "the chosen cascade is shorter"
        yield (
            f"The verification cost of {_listed(names)} ends at {most} "
            f"position{'s' * (most != 1)}, so nothing with more than {most - 1} "
            f"token{'s' * (most != 2)} in front of {'it' if len(names) == 1 else 'these'} was "
            f"searched; {stop}{': measure it further to search further' if reached else ''}."
        )
    used = {value for one in walk(plan.cascade.drafts) for value in _values(one)}
    if used and max(used) >= longest:
        yield (
            f"The chosen cascade uses the largest length allowed, {longest} (max_length): a "
            f"larger max_length may find a faster one."
        )


def _listed(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _positions(drafts: tuple[Segment, ...], reviewer: int, model: int) -> int:
    """Most positions that `model` checks in one pass of these segments; 0 where it does not."""
    most = Cascade(drafts).max_length + 1 if reviewer == model else 0
    inner = (one for one in drafts if not isinstance(one, Draft))
    return max([most, *(_positions(one.drafts, one.model, model) for one in inner)])


def _values(segment: Segment) -> Iterator[int]:
    for value in (getattr(segment, "length", None), getattr(segment, "rounds", None)):
        if value is not None:
            yield value
    if segment.until is not None:
        yield segment.until


def _assumed(profile: Profile) -> Iterator[str]:
    """What the numbers of the drafts and their rates take for granted."""
    drafts = range(1, profile.n_drafts + 1)
    for i, j in pairwise(drafts):
        if profile.cost(i) < profile.cost(j):
            yield (
                f"{profile.names[i]} costs less than {profile.names[j]} ({profile.cost(i):.4g} < "
                f"{profile.cost(j):.4g}), but only a draft with a smaller number can review: "
                f"number the drafts from dear to cheap."
            )
            break
    inner = [(i, j) for j in drafts for i in range(1, j) if i not in profile.one_shot]
    if inner and all(profile.alphas[i, j] == profile.alphas[0, j] for i, j in inner):
        yield (
            "A draft that reviews is taken to accept as much as the target does (the assumption "
            "of CAS-Spec, arXiv:2510.26843; rates given as a vector mean this): give a matrix of "
            "rates if you know better."
        )


def _optimality(plan: "Plan") -> Iterator[str]:
    """How far from the best the plan can be, if that is known."""
    bound = plan.limits.get("bound")
    if "own_rates" in plan.limits or bound is None:
        return
    if plan.limits.get("proved"):
        yield "It is proved the best within its limits."
    else:
        yield (
            f"Not proved the best: no cascade within its limits exceeds EWIF {bound:.6g} "
            f"({100 * (bound / plan.ewif - 1):.2g} % more)."
        )


def _shown(plan: "Plan", cascade: Cascade) -> str:
    return describe(cascade.drafts, plan.profile.names) or "plain decoding"
