"""Counts in, intervals out: how sure a predicted EWIF can be.

What varies here is acceptance, over prompts. Costs are taken as known: how they spread over timed
passes is not included. How sure the choice of a cascade is: `cscalc.rivals`.
"""

import numpy as np

from cscalc._checks import Floats, check_int
from cscalc._fit import check_fit
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.resamples import Counts, Resamples, resamples_of
from cscalc.stats import Interval, check_confidence


def ewif_interval(
    cascade: Cascade,
    profile: Profile,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    counts: Counts | None = None,
    own_rates: bool = False,
) -> Interval:
    """Interval of the predicted EWIF, given how few prompts were measured.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        With the records of at least two prompts, unless `counts` are given.
    rng : numpy.random.Generator
        Source of the resamples.
    confidence : float
        Strictly between 0 and 1.
    n_resamples : int
        At least 100.
    counts : mapping (i, j) -> (accepted, rejected), optional
        Use these counts instead of records of prompts: each pair's rate is drawn from its own
        `alpha_posterior`, independently; pairs that are not named keep the profile's rate.
    own_rates : bool
        Give every prompt its own rates, as `cscalc.choose.optimal_for_prompts` does: all
        tokens over all cost if every prompt writes equally much. Otherwise one pooled rate.

    Returns
    -------
    Interval
        Percentile interval, in tokens per target-pass time. It holds the uncertainty of the
        rates only: not that of the costs, nor of the acceptance model.

    Raises
    ------
    TypeError
        If `rng` is a seed.
    ValueError
        As `bootstrap_profiles`; or if the profile's acceptance model has rates of its own, which
        resampled alphas would not move.

    Examples
    --------
    >>> from cscalc import Draft
    >>> one, low_high = Cascade((Draft(1, 4),)), {(0, 1): (800, 200)}
    >>> profile, rng = Profile([0.8], [0.1]), np.random.default_rng(1)
    >>> low, high = ewif_interval(one, profile, rng=rng, counts=low_high)
    >>> round(low, 1), round(high, 1)
    (2.3, 2.5)
    """
    check_fit(cascade, profile)
    drawn = _resamples(profile, n_resamples, rng, counts, own_rates)
    tokens, cost = drawn.tokens_and_cost(cascade)
    return _percentiles(tokens / cost, confidence)


def tokens_interval(
    cascade: Cascade,
    profile: Profile,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    counts: Counts | None = None,
    own_rates: bool = False,
) -> Interval:
    """Interval of the predicted tokens per cycle, given how few prompts were measured.

    Parameters
    ----------
    cascade, profile, rng, confidence, n_resamples, counts, own_rates
        As in `ewif_interval`.

    Returns
    -------
    Interval
        Percentile interval, in tokens per cycle.

    Raises
    ------
    TypeError, ValueError
        As `ewif_interval`.

    Examples
    --------
    >>> from cscalc import Draft
    >>> one, counts = Cascade((Draft(1, 4),)), {(0, 1): (800, 200)}
    >>> rng = np.random.default_rng(1)
    >>> low, high = tokens_interval(one, Profile([0.8], [0.1]), rng=rng, counts=counts)
    >>> bool(low < 3.3616 < high)
    True
    """
    check_fit(cascade, profile)
    drawn = _resamples(profile, n_resamples, rng, counts, own_rates)
    return _percentiles(drawn.tokens_and_cost(cascade)[0], confidence)


def _resamples(
    profile: Profile,
    n_resamples: int,
    rng: np.random.Generator,
    counts: Counts | None,
    own_rates: bool,
) -> Resamples:
    enough = check_int("n_resamples", n_resamples, least=100)
    return resamples_of(profile, enough, rng, counts, own_rates)


def _percentiles(values: Floats, confidence: float) -> Interval:
    tail = 0.5 - check_confidence(confidence) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return Interval(float(low), float(high))
