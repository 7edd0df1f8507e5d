"""The recommended cascade against its rivals: how surely it is the best, what would settle it.

As in `cscalc.uncertainty`, what varies is acceptance, over prompts; costs are taken as known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf

import numpy as np

from cscalc._checks import Floats, check_int, check_number
from cscalc._fit import check_fit
from cscalc.cascade import Cascade
from cscalc.plan import Plan
from cscalc.profile import Profile
from cscalc.rates import RateSums
from cscalc.resamples import Counts, means_and_costs, prompt_sums, resamples_of
from cscalc.stats import check_confidence
from cscalc.theory.sensitivity import ewif_gradient

_TIE = 1e-12  # relative difference of two EWIFs that is rounding


@dataclass(frozen=True, slots=True)
class BestProbability:
    """How often each cascade is the best over resamples of the prompts.

    Attributes
    ----------
    cascades : tuple of Cascade
        The recommended one first, then its rivals.
    shares : tuple of float
        Share of the resamples in which no other cascade has a larger EWIF; a tie counts for
        each, so the shares add up to 1 or more.
    n_resamples : int
        Resamples that were drawn.
    """

    cascades: tuple[Cascade, ...]
    shares: tuple[float, ...]
    n_resamples: int

    @property
    def probability(self) -> float:
        """Share of the recommended cascade."""
        return self.shares[0]


def best_probability(
    choice: Plan | Sequence[Cascade],
    profile: Profile | None = None,
    *,
    rng: np.random.Generator,
    n_resamples: int = 1000,
    counts: Counts | None = None,
    own_rates: bool | None = None,
) -> BestProbability:
    """Probability that the recommended cascade really is the best among its rivals.

    Parameters
    ----------
    choice : Plan or sequence of Cascade
        A plan, whose alternatives are the rivals; or cascades, the recommended one first.
    profile : Profile, optional
        A plan's own by default.
    rng, n_resamples, counts
        As in `ewif_interval`. All cascades see the same resamples.
    own_rates : bool, optional
        As in `ewif_interval`; by default, whether the plan was chosen on own rates.

    Returns
    -------
    BestProbability
        Its `probability` reads the bootstrap as a posterior, as is customary (Efron and
        Tibshirani, "The problem of regions", Annals of Statistics 26(5), 1998); it is somewhat
        too high for a choice made on the same prompts.

    Raises
    ------
    TypeError
        If `rng` is a seed, or cascades come without a profile.
    ValueError
        As `ewif_interval`; or if there is no cascade.

    Examples
    --------
    >>> from cscalc import Draft
    >>> profile, rng = Profile([0.8], [0.1]), np.random.default_rng(1)
    >>> cascades = [Cascade((Draft(1, length),)) for length in (6, 3, 12)]
    >>> best_probability(cascades, profile, rng=rng, counts={(0, 1): (8000, 2000)}).shares
    (1.0, 0.0, 0.0)
    """
    cascades, known, own = _choice(choice, profile, own_rates)
    enough = check_int("n_resamples", n_resamples, least=100)
    drawn = resamples_of(known, enough, rng, counts, own)
    found = [drawn.tokens_and_cost(one) for one in cascades]
    ewifs = np.stack([tokens / cost for tokens, cost in found])  # (cascades, resamples)
    wins = ewifs >= ewifs.max(axis=0) * (1.0 - _TIE)
    return BestProbability(cascades, tuple(wins.mean(axis=1).tolist()), enough)


@dataclass(frozen=True, slots=True)
class Rival:
    """A rival of the recommended cascade, and the prompts that would tell them apart.

    Attributes
    ----------
    cascade : Cascade
        The rival.
    difference : float
        EWIF of the recommended cascade minus that of the rival, on the prompts at hand.
    sigma : float
        Standard error of the difference with the prompts at hand.
    needed : float
        Prompts needed in all; inf if no number of them would do.
    """

    cascade: Cascade
    difference: float
    sigma: float
    needed: float


@dataclass(frozen=True, slots=True)
class Settlement:
    """What it takes to settle which cascade is the best.

    Attributes
    ----------
    n_prompts : int
        Prompts at hand.
    rivals : tuple of Rival
        The hardest to tell from the recommended cascade first.
    """

    n_prompts: int
    rivals: tuple[Rival, ...]

    @property
    def more(self) -> float:
        """Prompts still to measure; 0 if it is settled, inf if no number of them would do."""
        return max(0.0, max((one.needed for one in self.rivals), default=0.0) - self.n_prompts)


def prompts_to_settle(
    choice: Plan | Sequence[Cascade],
    profile: Profile | None = None,
    *,
    confidence: float = 0.95,
    power: float = 0.8,
    margin: float = 0.0,
    own_rates: bool | None = None,
) -> Settlement:
    r"""How many more prompts would settle which cascade is the best.

    Parameters
    ----------
    choice, profile
        As in `best_probability`; the profile holds records of at least two prompts.
    confidence : float
        Of the two-sided test that tells a rival from the recommended cascade, in (0, 1).
    power : float
        Chance that the test will do so, in (0, 1).
    margin : float
        Relative difference of EWIF that is not worth settling, >= 0: a rival nearer than this
        is treated as if it were this far away.
    own_rates : bool, optional
        As in `best_probability`.

    Returns
    -------
    Settlement
        Prompts in all and still to measure, by rival and for the hardest.

    Raises
    ------
    TypeError, ValueError
        As `best_probability`.

    Notes
    -----
    Assumed: further prompts are drawn independently like those at hand; the difference D of the
    two EWIFs is near normal with standard error :math:`s / \sqrt{n}`; s is estimated from the
    paired, first-order pull of each prompt on D, through the pooled rates and the exact gradients
    of the EWIFs (with own rates, through each prompt's cost per token); and D itself is as large
    as it now appears, or the margin if that is larger. Then
    :math:`n = ((z_{confidence} + z_{power}) s / D)^2`. As the recommended cascade was chosen for
    its lead on these prompts, D tends to be overstated and n to be too small.

    Examples
    --------
    >>> from cscalc import Draft
    >>> records = [{"overlap": {"0,1": [rate]}} for rate in (0.6, 0.7, 0.9, 1.0)]
    >>> profile = Profile([0.8], [0.1], measurement={"prompts": records})
    >>> cascades = [Cascade((Draft(1, length),)) for length in (6, 3)]
    >>> prompts_to_settle(cascades, profile).more
    62.0
    """
    from scipy.special import ndtri  # slow to load

    cascades, known, own = _choice(choice, profile, own_rates)
    level = check_confidence(confidence)
    if check_number("power", power, least=0.0, most=1.0) in (0.0, 1.0):
        raise ValueError(f"power must lie strictly between 0 and 1, got {power:g}: say 0.8")
    z = float(ndtri(0.5 + level / 2.0) + ndtri(power))
    sums = prompt_sums(known)
    pulls = [_own_pull(one, known, sums) if own else _pull(one, known, sums) for one in cascades]
    (ours, our_pull), *others = pulls
    n_prompts = our_pull.size
    indifferent = check_number("margin", margin, least=0.0) * ours
    rivals = []
    for cascade, (theirs, their_pull) in zip(cascades[1:], others, strict=True):
        spread, difference = float((our_pull - their_pull).std(ddof=1)), ours - theirs
        far = max(abs(difference), indifferent)
        apart = far > _TIE * ours
        needed = float(max(2, ceil((z * spread / far) ** 2))) if apart else inf
        rivals.append(Rival(cascade, difference, spread / n_prompts**0.5, needed))
    return Settlement(n_prompts, tuple(sorted(rivals, key=lambda one: -one.needed)))


def _pull(cascade: Cascade, profile: Profile, sums: RateSums) -> tuple[float, Floats]:
    """EWIF at the pooled rates, and each prompt's first-order pull on it, shape (prompts,)."""
    gradient = ewif_gradient(cascade, profile)
    pull: Floats = np.tensordot(sums.influence(), gradient.alphas, axes=2)
    return gradient.ewif, pull


def _own_pull(cascade: Cascade, profile: Profile, sums: RateSums) -> tuple[float, Floats]:
    """The same if every prompt has its own rates."""
    tokens, cost = means_and_costs(cascade, profile, sums.own())
    spent = cost / tokens  # per token
    ewif = 1.0 / float(spent.mean())
    return ewif, -(ewif**2) * (spent - spent.mean())


def _choice(
    choice: Plan | Sequence[Cascade], profile: Profile | None, own_rates: bool | None
) -> tuple[tuple[Cascade, ...], Profile, bool]:
    """The cascades, the recommended one first; their profile; whether prompts have own rates."""
    if isinstance(choice, Plan):
        own = "own_rates" in choice.limits if own_rates is None else own_rates
        rivals = [one.cascade for one in choice.alternatives if one.cascade != choice.cascade]
        known = choice.profile if profile is None else profile
        check_fit(choice.cascade, known)
        return (choice.cascade, *rivals), known, own
    if not isinstance(choice, Sequence) or isinstance(choice, str):
        raise TypeError(
            f"choice must be a Plan or a list of cascades, got {choice!r:.80}: give the "
            f"recommended cascade and its rivals first, then the profile"
        )
    cascades = tuple(choice)
    if not cascades or not all(isinstance(one, Cascade) for one in cascades):
        raise ValueError(f"choice must be a Plan or a list of cascades, got {choice!r}")
    if profile is None:
        raise TypeError("profile is missing: give one with the cascades, or give a Plan")
    for one in cascades:
        check_fit(one, profile)
    return cascades, profile, bool(own_rates)
