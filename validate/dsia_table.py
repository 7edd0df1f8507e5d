"""Which DSIA setting of a target can pay: measured points beside the bounds of CAS-Spec.

The effective bound (Ning et al., NeurIPS 2025, arXiv:2510.26843, Eq. 3, Figures 1b and 1c) is the
largest cost at which a draft of this acceptance rate, in the best cascade with a bottom draft, is
no slower than the bottom draft alone. It takes a verification of any width for one target pass;
the EWIF beside it uses the measured cost of wider passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from cscalc.optimize import optimal_config
from cscalc.profile import Profile
from cscalc.stats import bootstrap_ratio
from cscalc.theory.effective import effective_bound
from validate.dsia_names import is_setting

SCHEMA = "validate/dsia"
LENGTH = 10  # tokens that a bottom draft proposes a call
RESAMPLES = 1000
KINDS: tuple[Literal["vertical", "horizontal"], ...] = ("vertical", "horizontal")


@dataclass(frozen=True, slots=True)
class Over:
    """A setting in cascades with one bottom draft.

    Attributes
    ----------
    bottom : str
        Name of the bottom draft (Definition 4.2: one that cannot be accelerated itself).
    alpha_inner : float
        Acceptance rate of its tokens by the setting, which reviews them in a vertical cascade.
    bound : dict of kind -> float
        Largest cost of the setting that pays, at its measured acceptance rate; 0: none.
    alpha_needed : dict of kind -> float or None
        Acceptance rate from which its measured cost would pay; None where even 1 would not do.
    ewif, ewif_without : float
        Predicted EWIF of the best cascade with the setting, and of the best without it, with
        the measured cost of verifying.
    cascade : str
        The best cascade with or without it.
    """

    bottom: str
    alpha_inner: float
    bound: dict[str, float]
    alpha_needed: dict[str, float | None]
    ewif: float
    ewif_without: float
    cascade: str

    @property
    def best_bound(self) -> float:
        """The larger of both bounds."""
        return max(self.bound.values())

    @property
    def least_alpha(self) -> float | None:
        """The smaller of both acceptance rates needed; None where none would do."""
        found = [alpha for alpha in self.alpha_needed.values() if alpha is not None]
        return min(found, default=None)


@dataclass(frozen=True, slots=True)
class Point:
    """A setting as measured.

    Attributes
    ----------
    name : str
    alpha, low, high : float
        Acceptance rate by the target, and its 95 % interval over prompts.
    cost : float
        One pass in target passes (c).
    over : tuple of Over
        One for each bottom draft.
    memory : dict
        Bytes of weights "shared" with the target and "own".
    """

    name: str
    alpha: float
    low: float
    high: float
    cost: float
    over: tuple[Over, ...]
    memory: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DsiaTable:
    """Settings and bottom drafts of one target, measured; see `dsia_table`.

    Attributes
    ----------
    target : str
    points : tuple of Point
        In order of their cost.
    bottoms : dict of name -> (alpha, cost)
    """

    target: str
    points: tuple[Point, ...]
    bottoms: dict[str, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"schema": SCHEMA, "version": 1, **asdict(self)}


def dsia_table(
    profile: Profile, *, memory: Mapping[str, Mapping[str, int]] | None = None, seed: int = 0
) -> DsiaTable:
    """Set every measured DSIA setting beside the bounds that it has to stay under.

    Parameters
    ----------
    profile : Profile
        As `validate.measure` makes it: the drafts named as DSIA settings ("skip:0.4") are the
        points, its one-shot drafts the bottom drafts.
    memory : mapping, optional
        Setting -> bytes of weights "shared" and "own", to go with them.
    seed : int
        Of the bootstrap over prompts.

    Raises
    ------
    ValueError
        If the profile holds no setting, or no one-shot draft.

    Returns
    -------
    DsiaTable

    Examples
    --------
    >>> profile = Profile([0.63, 0.2], [0.87, 0.001], one_shot=[2],
    ...                   names=["target", "skip:4,8,12,16", "max-gram"])
    >>> [point] = dsia_table(profile).points
    >>> round(point.over[0].best_bound, 2), round(point.over[0].least_alpha, 2)
    (0.43, 0.97)
    """
    settings = [n for n in range(1, profile.n_drafts + 1) if is_setting(profile.names[n])]
    if not settings:
        raise ValueError(
            f"none of {', '.join(profile.names[1:])} is a DSIA setting: measure some, "
            "for example skip:0.4"
        )
    if not profile.one_shot:
        raise ValueError("bounds need a bottom draft: measure max-gram or prompt-lookup too")
    settings.sort(key=lambda n: (-profile.cost(n), n))
    points = []
    for number in settings:
        low, high = _interval(profile, number, seed)
        name = profile.names[number]
        points.append(Point(
            name, float(profile.alphas[0, number]), low, high, profile.cost(number),
            tuple(_over(profile, number, bottom) for bottom in profile.one_shot),
            dict((memory or {}).get(name, {})),
        ))  # fmt: skip
    bottoms = {
        profile.names[n]: (float(profile.alphas[0, n]), profile.cost(n)) for n in profile.one_shot
    }
    return DsiaTable(profile.names[0], tuple(points), bottoms)


def part_of_profile(profile: Profile, models: Sequence[int]) -> Profile:
    """Return the profile of some models alone, renumbered in the order given.

    Examples
    --------
    >>> part_of_profile(Profile([0.9, 0.8, 0.3], [0.5, 0.4, 0.1], one_shot=[3]), [0, 1, 3])
    Profile(alphas=[0.9, 0.3; 0.3], costs=[0.5, 0.1], one_shot=(2,))
    """
    places = list(models)
    return Profile(
        profile.alphas[np.ix_(places, places)],
        [profile.cost(n) for n in places[1:]],
        one_shot=[i for i, n in enumerate(places) if n in profile.one_shot],
        verify={i: profile.verify[n] for i, n in enumerate(places) if n in profile.verify},
        names=[profile.names[n] for n in places],
    )


def needed_alpha(
    kind: Literal["vertical", "horizontal"],
    cost: float,
    alpha_bottom: float,
    cost_bottom: float,
    *,
    alpha_inner: float | None = None,
) -> float | None:
    """Acceptance rate from which a draft of this cost pays over the bottom draft alone.

    Parameters
    ----------
    kind : {"vertical", "horizontal"}
    cost : float
        Of the draft, in target passes.
    alpha_bottom, cost_bottom : float
        Of the one-shot bottom draft, which proposes 10 tokens a call.
    alpha_inner : float, optional
        Acceptance rate of the bottom draft's tokens by the draft; the target's if not given.

    Returns
    -------
    float or None
        To .001, rounded up; None where even 1 would not do.

    Examples
    --------
    >>> needed_alpha("horizontal", 0.4, 0.3, 0.01)
    0.697
    """
    alphas = np.linspace(0.0, 1.0, 1001)
    bounds = effective_bound(
        kind, alphas, alpha_bottom, cost_bottom, alpha_inner=alpha_inner, one_shot=True,
        max_length=LENGTH,
    )  # fmt: skip
    enough = np.flatnonzero(np.asarray(bounds) >= cost)
    return round(float(alphas[enough[0]]), 3) if enough.size else None


def _over(profile: Profile, number: int, bottom: int) -> Over:
    alpha, cheap = float(profile.alphas[0, number]), float(profile.alphas[0, bottom])
    inner = float(profile.alphas[number, bottom]) if number < bottom else cheap
    cost, cost_bottom = profile.cost(number), profile.cost(bottom)
    bound: dict[str, float] = {}
    needed: dict[str, float | None] = {}
    for kind in KINDS:
        bound[kind] = float(effective_bound(
            kind, alpha, cheap, cost_bottom, alpha_inner=inner, one_shot=True, max_length=LENGTH
        ))  # fmt: skip
        needed[kind] = needed_alpha(kind, cost, cheap, cost_bottom, alpha_inner=inner)
    with_it = _best(part_of_profile(profile, [0, number, bottom]))
    without = _best(part_of_profile(profile, [0, bottom]))
    return Over(profile.names[bottom], inner, bound, needed, with_it.ewif, without.ewif,
                _shown(with_it))  # fmt: skip


def _best(profile: Profile) -> Any:
    return optimal_config(profile, max_length=16, max_depth=1, proof_steps=0)


def _shown(plan: Any) -> str:
    from cscalc.cascade import describe

    return describe(plan.cascade.drafts, plan.profile.names) or "plain decoding"


def _interval(profile: Profile, number: int, seed: int) -> tuple[float, float]:
    alpha = float(profile.alphas[0, number])
    prompts = (profile.measurement or {}).get("prompts", [])
    overlaps = [v for p in prompts if (v := p.get("overlap", {}).get(f"0,{number}"))]
    if len(overlaps) < 2:
        return alpha, alpha
    found = bootstrap_ratio(
        [sum(values) for values in overlaps], [len(values) for values in overlaps],
        rng=np.random.default_rng([seed, number]), n_resamples=RESAMPLES,
    )  # fmt: skip
    return found.interval.low, found.interval.high
