"""Whether a cascade and a profile are that, fit one another, and can be computed at all."""

from typing import Any

from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile

LONGEST = 1_000_000  # tokens in front of the target: tables of some tens of MB


def check_fit(cascade: Cascade, profile: Profile) -> None:
    """Raise one sentence unless these are a cascade and a profile that fits it.

    Examples
    --------
    >>> check_fit(Cascade((Draft(1, 4),)), Profile([0.8], [0.1]))
    """
    if not isinstance(cascade, Cascade):
        raise TypeError(f"cascade must be a Cascade, got {_instead_of_cascade(cascade)}")
    if not isinstance(profile, Profile):
        raise TypeError(f"profile must be a Profile, got {_instead_of_profile(profile)}")
    profile.check(cascade)


def check_longest(tokens: int) -> None:
    """Raise ValueError if so many tokens in front of the target cannot be computed.

    Examples
    --------
    >>> check_longest(64)
    """
    if tokens > LONGEST:
        raise ValueError(
            f"this cascade can put {tokens} tokens in front of the target, but laws and "
            f"simulations are computed up to {LONGEST}: shorten its drafts"
        )


def _instead_of_cascade(given: Any) -> str:
    if isinstance(given, Draft | Review):
        return f"{given!r}: write Cascade(({given!r},))"
    if isinstance(given, Profile):
        return "a Profile: give the cascade first, then the profile"
    if isinstance(getattr(given, "cascade", None), Cascade):  # a plan, an alternative
        kind = type(given).__name__
        return f"a {kind}: give its cascade, {kind.lower()}.cascade"
    return f"{given!r:.80}: write Cascade((Draft(1, 5),))"


def _instead_of_profile(given: Any) -> str:
    if isinstance(given, Cascade):
        return "a Cascade: give the cascade first, then the profile"
    if isinstance(getattr(given, "profile", None), Profile):
        kind = type(given).__name__
        return f"a {kind}: give its profile, {kind.lower()}.profile"
    return f"{given!r:.80}: write Profile([0.8], [0.1])"
