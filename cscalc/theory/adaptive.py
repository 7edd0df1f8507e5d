"""The adaptive bound: the best EWIF of any policy that sees inner reviews before it goes on."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, SupportsFloat

import numpy.typing as npt

from cscalc._checks import check_int
from cscalc._verify_costs import Verify
from cscalc.acceptance import Independent
from cscalc.profile import Profile
from cscalc.theory._adaptive_levels import Action, Drafted, tables_of, target_level


@dataclass(frozen=True, slots=True)
class AdaptivePolicy:
    """A policy that attains the adaptive bound; call it with what has been drafted.

    Attributes
    ----------
    profile : Profile
        What it was computed for.
    max_length, max_depth : int
        Its limits, as in `adaptive_bound`.
    rate : float
        What a target pass is worth to it, in tokens: the bound.

    Examples
    --------
    >>> policy = adaptive_bound([0.8], [0.1]).policy
    >>> policy({}), policy({1: 6})
    (Action(kind='draft', model=1, length=1), Action(kind='review', model=0, length=0))
    """

    profile: Profile
    max_length: int
    max_depth: int
    rate: float

    def __call__(self, drafted: Drafted, *rounds: tuple[int, Drafted]) -> Action:
        """Return the next action.

        Parameters
        ----------
        drafted : mapping from model to int
            Tokens in front of the target, by the model they come from; the tokens a review
            emitted count as its reviewer's.
        *rounds : (int, mapping)
            Rounds now open, outer before inner: the reviewer, and the draft in front of it.

        Returns
        -------
        Action
            Of the innermost open round, or of the target's cycle if none is open.

        Raises
        ------
        ValueError
            If the drafts are longer than the limits of this policy permit.
        """
        tables = tables_of(self.profile, self.max_length)
        level = target_level(tables, self.max_length, self.max_depth, self.rate)
        for reviewer, inside in rounds:
            level, drafted = level.begin(drafted, check_int("reviewer", reviewer, least=1)), inside
        return level.action(drafted)


@dataclass(frozen=True, slots=True)
class AdaptiveBound:
    """The supremum of EWIF over adaptive policies, and a policy that attains it.

    Attributes
    ----------
    ewif : float
        The bound, in tokens per target-pass time; >= 1.
    tokens_per_cycle, cycle_cost : float
        Of the policy: expected tokens, and expected cost in target passes.
    policy : AdaptivePolicy
        What to do next, given what has been drafted.
    max_length, max_depth : int
        The limits it was computed for.

    Examples
    --------
    >>> bound = adaptive_bound([0.8], [0.1])
    >>> round(bound.ewif, 4), bound.policy({1: 6})
    (2.4696, Action(kind='review', model=0, length=0))
    """

    ewif: float
    tokens_per_cycle: float
    cycle_cost: float
    policy: AdaptivePolicy = field(repr=False)
    max_length: int
    max_depth: int

    def share(self, plan: Any) -> float:
        """How much of the bound `plan` (a `Plan`, or an EWIF) reaches, in (0, 1].

        Above 1 only if the plan lies outside the bound's limits: its drafts are longer than
        `max_length`, or its reviews stand deeper inside one another than `max_depth`.

        Examples
        --------
        >>> bound = adaptive_bound([0.8], [0.1])
        >>> round(bound.share(2.4), 4)
        0.9718
        """
        reached: SupportsFloat = getattr(plan, "ewif", plan)
        return float(reached) / self.ewif


def adaptive_bound(
    alphas: npt.ArrayLike | Profile,
    costs: npt.ArrayLike | None = None,
    *,
    one_shot: Iterable[int] = (),
    verify: Verify = None,
    max_length: int = 64,
    max_depth: int = 2,
) -> AdaptiveBound:
    r"""Supremum of EWIF over policies that see every inner review before they go on.

    Parameters
    ----------
    alphas : array_like or Profile
        Acceptance rates as in `Profile` (shape (n + 1, n + 1) or (n,)), or a whole profile,
        and then nothing else but the limits.
    costs : array_like, shape (n,)
        ``c(target, draft j)`` in target passes.
    one_shot, verify
        As in `Profile`.
    max_length : int
        The draft in front of the target is never longer, in tokens.
    max_depth : int
        Most reviews inside one another.

    Returns
    -------
    AdaptiveBound
        ``.ewif`` (the bound), ``.policy`` (attains it), ``.share(plan)``.

    Raises
    ------
    TypeError, ValueError
        As `Profile`; or if costs are missing or given twice; or if acceptance is not
        independent; or if the states are too many for the limits.

    Notes
    -----
    The policies: in front of the target, one token of any draft model, one call of a one-shot
    model with any number of tokens, a round of any reviewer, or verification. Inside a round
    the same, with cheaper models, until its reviewer reviews; a round that has begun ends with
    its review, and what that emitted is seen before the next action. So the choice may depend
    on every outcome so far, in any order of models and with any stop, and every fixed cascade
    of the grammar whose drafts stay within `max_length`, and whose reviews stand at most
    `max_depth` deep, is one of these policies: its EWIF is at most the bound. (That the target
    would reject a token is not seen before it verifies.)

    Method: the largest ratio E[T] / E[C] is the root of max (E[T] - lambda E[C]), found by
    Dinkelbach's iteration; each maximum is a dynamic program. Under independent acceptance
    what matters of a draft is how many tokens of each model it holds: that gives its length
    and the chance that all are accepted. A round begun at such a state is the same program
    one level down, whose reward for emitting L tokens is the outer value at the state it leads
    to; as a round emits accepted + 1 tokens, that reward telescopes over the chance that the
    first i inner tokens are accepted. A state from which nothing worth its cost can be gained
    is handed over as it is, which is exact up to 1e-11 tokens.

    Examples
    --------
    >>> bound = adaptive_bound([[1, 0.8, 0.4], [0, 1, 0.5], [0, 0, 1]], [0.2, 0.01])
    >>> round(bound.ewif, 4), bound.policy({})
    (2.3635, Action(kind='begin', model=1, length=0))
    >>> bound.policy({}, (1, {2: 3}))
    Action(kind='review', model=1, length=0)
    """
    profile = _as_profile(alphas, costs, one_shot, verify)
    if not isinstance(profile.acceptance, Independent):
        raise ValueError(
            f"the adaptive bound holds for independent acceptance, got a profile with "
            f"{profile.acceptance.kind!r}: give one with Independent()"
        )
    max_length = check_int("max_length", max_length, least=1)
    max_depth = check_int("max_depth", max_depth, least=0)
    tables = tables_of(profile, max_length)
    rate, tokens, cost = 1.0, 1.0, 1.0
    for _ in range(100):  # the ratio rises strictly, in practice three to five times
        value, spent = target_level(tables, max_length, max_depth, rate).solve(keep=False)
        if value + rate * spent <= rate * (1.0 + 1e-14) * spent:
            break
        tokens, cost = value + rate * spent, spent
        rate = tokens / cost
    policy = AdaptivePolicy(profile, max_length, max_depth, rate)
    return AdaptiveBound(rate, tokens, cost, policy, max_length, max_depth)


def _as_profile(
    alphas: npt.ArrayLike | Profile,
    costs: npt.ArrayLike | None,
    one_shot: Iterable[int],
    verify: Verify,
) -> Profile:
    if isinstance(alphas, Profile):
        if costs is not None or tuple(one_shot) or verify is not None:
            raise TypeError("a Profile already holds costs, one_shot and verify: give it alone")
        return alphas
    if costs is None:
        raise TypeError("costs are missing: give adaptive_bound(alphas, costs) or a Profile")
    return Profile(alphas, costs, one_shot=one_shot, verify=verify)
