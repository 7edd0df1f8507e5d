"""Does what was seen agree with a law: errors in sigmas, and the chi-square of a histogram."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_number


def false_alarm(z: float) -> float:
    """Chance that a standard normal number exceeds `z` in size.

    Examples
    --------
    >>> f"{false_alarm(5.0):.1e}"
    '5.7e-07'
    """
    from scipy.special import ndtr

    return 2.0 * float(ndtr(-abs(z)))


def z_score(error: float, sigma: float, *, rounding: float = 1e-9) -> float:
    """Error in sigmas; with sigma 0, 0 for an error up to `rounding` and infinite beyond.

    Examples
    --------
    >>> z_score(0.03, 0.01), z_score(1e-12, 0.0), z_score(-0.1, 0.0)
    (3.0, 0.0, -inf)
    """
    check_number("sigma", sigma, least=0.0)
    check_number("error", error)
    if abs(error) <= rounding and abs(error) >= 9.0 * sigma:
        return 0.0  # both are rounding
    return error / sigma if sigma > 0.0 else float(np.copysign(np.inf, error))


@dataclass(frozen=True, slots=True)
class ChiSquare:
    """Pearson's chi-square of a histogram against a law."""

    statistic: float
    dof: int  # merged bins - 1
    p_value: float  # chance of a statistic at least as large under the law


def chi_square(
    counts: npt.ArrayLike, pmf: npt.ArrayLike, *, min_expected: float = 5.0
) -> ChiSquare:
    """Test counts against the law they should follow.

    Parameters
    ----------
    counts : array_like of int, shape (k,)
        Histogram of independent outcomes.
    pmf : array_like, shape (k,)
        Law of the outcomes; sums to 1 within 1e-9.
    min_expected : float
        Neighbouring bins are merged until each expects at least this many.

    Returns
    -------
    ChiSquare
        With one merged bin left there is nothing to test: statistic 0, p-value 1. An
        outcome of chance 0 that was seen refutes the law: statistic inf, p-value 0.

    Raises
    ------
    ValueError
        If shapes differ, a count is negative, or `pmf` is not a law.

    References
    ----------
    Cochran, "The chi-square test of goodness of fit", Ann. Math. Stat. 23 (1952), Sec. 7
    for the merging rule.

    Examples
    --------
    >>> found = chi_square([48, 52], [0.5, 0.5])
    >>> round(found.statistic, 4), found.dof, round(found.p_value, 4)
    (0.16, 1, 0.6892)
    """
    from scipy.special import chdtrc

    seen, law = as_floats("counts", counts), as_floats("pmf", pmf)
    if seen.ndim != 1 or seen.shape != law.shape:
        raise ValueError(
            f"counts and pmf must be vectors of one length, got shapes "
            f"{seen.shape} and {law.shape}"
        )
    if not np.all(np.isfinite(seen) & (seen >= 0.0) & (seen == np.floor(seen))):
        raise ValueError(f"counts must be whole numbers >= 0, got {seen.tolist()}")
    if not (np.all(law >= 0.0) and abs(law.sum() - 1.0) <= 1e-9):
        raise ValueError(f"pmf must be >= 0 and sum to 1, got sum {law.sum():g}")
    if np.any(seen[law == 0.0] > 0.0):
        return ChiSquare(float("inf"), 0, 0.0)
    bins = _merged(seen, law * seen.sum(), min_expected)
    if len(bins) < 2:
        return ChiSquare(0.0, 0, 1.0)
    statistic = sum((got - want) ** 2 / want for got, want in bins)
    dof = len(bins) - 1
    return ChiSquare(float(statistic), dof, float(chdtrc(dof, statistic)))


def _merged(seen: Floats, expected: Floats, least: float) -> list[tuple[float, float]]:
    """Neighbouring bins as (seen, expected), each expecting at least `least`."""
    bins: list[tuple[float, float]] = []
    got = want = 0.0
    for a, b in zip(seen.tolist(), expected.tolist(), strict=True):
        got, want = got + a, want + b
        if want >= least:
            bins.append((got, want))
            got = want = 0.0
    if bins and want > 0.0:  # what is left in the tail joins the last bin
        bins[-1] = (bins[-1][0] + got, bins[-1][1] + want)
    return bins
