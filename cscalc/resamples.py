"""Acceptance rates that might have been: posteriors of counts, and resampled prompts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_int, check_lengths, check_number
from cscalc.acceptance import BetaMixture, Independent
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.rates import RateSums, rate_sums
from cscalc.stats import Interval, check_confidence, check_generator
from cscalc.theory.law import cycle_law
from cscalc.theory.means import mean_and_cost

Counts = Mapping[tuple[int, int], tuple[int, int]]
JEFFREYS = (0.5, 0.5)
_FIT = 1e-3  # how far a profile's alphas may lie from those of its own records


@dataclass(frozen=True, slots=True)
class AlphaPosterior:
    """Beta law of an acceptance rate, given counts.

    Attributes
    ----------
    accepted, rejected : float
        Its parameters a and b, > 0: counts plus the prior's.
    """

    accepted: float
    rejected: float

    @property
    def mean(self) -> float:
        """Expected acceptance rate, a / (a + b)."""
        return self.accepted / (self.accepted + self.rejected)

    def interval(self, confidence: float = 0.95) -> Interval:
        """Central interval that holds the rate with probability `confidence`.

        Examples
        --------
        >>> low, high = alpha_posterior(80, 20).interval()
        >>> round(low, 4), round(high, 4)
        (0.7137, 0.8692)
        """
        from scipy.special import betaincinv  # slow to load

        tail = 0.5 - check_confidence(confidence) / 2.0
        ends = betaincinv(self.accepted, self.rejected, [tail, 1.0 - tail])
        return Interval(float(ends[0]), float(ends[1]))

    def sample(self, n_samples: int, *, rng: np.random.Generator) -> Floats:
        """Draws from the law, shape (n_samples,)."""
        size = check_int("n_samples", n_samples, least=1)
        return check_generator(rng).beta(self.accepted, self.rejected, size)


def alpha_posterior(
    accepted: int, rejected: int, *, prior: tuple[float, float] = JEFFREYS
) -> AlphaPosterior:
    """Law of an acceptance rate after seeing counts of independent proposals.

    Parameters
    ----------
    accepted : int
        Proposals kept, >= 0.
    rejected : int
        Cycles that ended in a rejection, >= 0. Proposals behind it were never judged and do not
        count, so that stopping at the first rejection leaves the posterior as it is.
    prior : tuple of float
        Beta parameters, > 0; Jeffreys' (1/2, 1/2) by default.

    Returns
    -------
    AlphaPosterior
        Beta(accepted + prior[0], rejected + prior[1]). Tokens of one prompt are alike, so over
        few prompts it is too narrow: bootstrap over prompts where there are records of them.

    Raises
    ------
    ValueError
        If a count is not a whole number >= 0, or the prior is not > 0.

    Examples
    --------
    >>> round(alpha_posterior(60, 20).mean, 4)
    0.7469
    """
    kept, lost = (
        float(check_lengths("accepted", accepted)),
        float(check_lengths("rejected", rejected)),
    )
    before = [check_number("prior", value, least=0.0) for value in prior]
    if len(before) != 2 or 0.0 in before:
        raise ValueError(f"prior must be two numbers > 0, got {prior!r}: say (0.5, 0.5)")
    return AlphaPosterior(kept + before[0], lost + before[1])


def bootstrap_profiles(
    profile: Profile, n_resamples: int, *, rng: np.random.Generator
) -> list[Profile]:
    """Profiles that other prompts of the same kind might have given.

    Parameters
    ----------
    profile : Profile
        With the records of at least two prompts in ``profile.measurement["prompts"]``.
    n_resamples : int
        Profiles to draw, >= 1.
    rng : numpy.random.Generator
        Source of the resamples.

    Returns
    -------
    list of Profile
        Each with the rates pooled over prompts drawn with replacement (contexts of a prompt
        stay together) and everything else as it was; `measurement` is None.

    Raises
    ------
    TypeError
        If `rng` is a seed.
    ValueError
        If there are no records of two prompts or more, or the profile's alphas are not theirs.

    References
    ----------
    Efron and Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall 1993, Ch. 8.

    Examples
    --------
    >>> records = [{"overlap": {"0,1": [0.6]}}, {"overlap": {"0,1": [1.0]}}]
    >>> profile = Profile([0.8], [0.1], measurement={"prompts": records})
    >>> drawn = bootstrap_profiles(profile, 50, rng=np.random.default_rng(1))
    >>> sorted({round(float(one.alphas[0, 1]), 2) for one in drawn})
    [0.6, 0.8, 1.0]
    """
    alphas = resamples_of(profile, n_resamples, rng).alphas
    return [_with_alphas(profile, one) for one in alphas]


def prompt_sums(profile: Profile) -> RateSums:
    """Sums behind the rates of the profile's prompts; ValueError if there are none."""
    records = (profile.measurement or {}).get("prompts", ())
    if len(records) < 2:
        raise ValueError(
            f"profile.measurement['prompts'] must hold at least 2 prompts, got {len(records)}: "
            "measure more, or give counts"
        )
    sums = rate_sums(records, profile.n_drafts + 1, profile.one_shot)
    far = np.abs(sums.pooled() - profile.alphas) > _FIT
    far[list(profile.one_shot)] = False  # a one-shot model never reviews
    if np.any(wrong := np.argwhere(np.triu(far, 1))):
        i, j = wrong[0]
        raise ValueError(
            f"alphas[{i}, {j}] is {profile.alphas[i, j]:.4g}, but the profile's prompts give "
            f"{sums.pooled()[i, j]:.4g}: give counts, or measure this profile"
        )
    return sums


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """Rates that might have been, on which any number of cascades can be evaluated.

    Attributes
    ----------
    profile : Profile
        Everything but the rates.
    alphas : ndarray, shape (resamples, n + 1, n + 1) or (prompts, n + 1, n + 1)
        Rates of each resample; or each prompt's own.
    drawn : ndarray, shape (resamples, prompts), or None
        How often each prompt was drawn, if the rates are the prompts' own.
    """

    profile: Profile
    alphas: Floats
    drawn: npt.NDArray[np.int64] | None

    def tokens_and_cost(self, cascade: Cascade) -> tuple[Floats, Floats]:
        """Tokens and cost per cycle of each resample, shape (resamples,) each."""
        tokens, cost = means_and_costs(cascade, self.profile, self.alphas)
        if self.drawn is None:
            return tokens, cost
        cycles = self.drawn @ (1.0 / tokens)  # every prompt writes equally much
        return self.drawn.sum(axis=1) / cycles, (self.drawn @ (cost / tokens)) / cycles


def resamples_of(
    profile: Profile,
    n_resamples: int,
    rng: np.random.Generator,
    counts: Counts | None = None,
    own_rates: bool = False,
) -> Resamples:
    """Draw resamples: of the profile's prompts, or from the posteriors of `counts`."""
    check_generator(rng)
    size = check_int("n_resamples", n_resamples, least=1)
    if counts is None:
        sums = prompt_sums(profile)
        rates = sums.own() if own_rates else sums.accepted
        n_prompts = rates.shape[0]
        drawn = rng.multinomial(n_prompts, np.full(n_prompts, 1.0 / n_prompts), size)
        if own_rates:
            return Resamples(profile, rates, drawn)
        return Resamples(profile, sums.resampled(drawn), None)
    if own_rates:
        raise ValueError("counts have no prompts with rates of their own: give own_rates=False")
    alphas = np.repeat(profile.alphas[None], size, axis=0)
    for (i, j), (accepted, rejected) in counts.items():
        if not 0 <= i < j <= profile.n_drafts:
            raise ValueError(
                f"counts must name pairs (i, j), i < j <= {profile.n_drafts}, got {(i, j)}"
            )
        alphas[:, i, j] = alpha_posterior(accepted, rejected).sample(size, rng=rng)
    return Resamples(profile, alphas, None)


def _with_alphas(profile: Profile, alphas: Floats) -> Profile:
    return Profile(
        alphas,
        profile.costs,
        one_shot=profile.one_shot,
        verify=profile.verify,
        names=profile.names,
        acceptance=profile.acceptance,
    )


def means_and_costs(cascade: Cascade, profile: Profile, alphas: Floats) -> tuple[Floats, Floats]:
    """Tokens and cost per cycle for each of `alphas`, shape (resamples,) each."""
    if isinstance(profile.acceptance, Independent):
        return mean_and_cost(cascade, profile, alphas)
    if not isinstance(profile.acceptance, BetaMixture):
        raise ValueError(
            f"acceptance of kind {profile.acceptance.kind!r} has rates of its own, which "
            "resampled alphas do not move: give a profile with Independent() or BetaMixture()"
        )
    laws = [cycle_law(cascade, _with_alphas(profile, one)) for one in alphas]
    return np.array([law.mean for law in laws]), np.array([law.cost for law in laws])
