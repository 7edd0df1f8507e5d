"""Intervals of counts, ratios and prompts; nothing here knows what a cascade is."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_choice, check_int, check_number


class Interval(NamedTuple):
    """A confidence interval; unpacks as ``low, high``."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the distance between the ends."""
        return (self.high - self.low) / 2.0

    def holds(self, value: float) -> bool:
        """Whether `value` lies in the interval, ends included."""
        return self.low <= value <= self.high


def check_generator(rng: object) -> np.random.Generator:
    """Return `rng` if it is a `numpy.random.Generator`; a seed gets the remedy."""
    if isinstance(rng, np.random.Generator):
        return rng
    raise TypeError(
        f"rng must be a numpy.random.Generator, got {rng!r}: write np.random.default_rng(seed)"
    )


def check_confidence(confidence: object) -> float:
    """Return `confidence` if it lies strictly between 0 and 1."""
    level = check_number("confidence", confidence, least=0.0, most=1.0)
    if level in (0.0, 1.0):
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {level:g}: say 0.95")
    return level


def proportion_interval(
    successes: int, trials: int, *, confidence: float = 0.95, method: str = "wilson"
) -> Interval:
    """Interval of a chance from counts, for example of an acceptance rate.

    Parameters
    ----------
    successes, trials : int
        Counts, 0 <= successes <= trials, trials >= 1; trials are independent.
    confidence : float
        Strictly between 0 and 1.
    method : {"wilson", "exact"}
        Wilson's score interval, or Clopper and Pearson's, which never covers too little.

    Returns
    -------
    Interval
        Ends in [0, 1].

    Raises
    ------
    ValueError
        If `successes` exceeds `trials`, or there are no trials.

    Notes
    -----
    Computed by `scipy.stats.binomtest`.

    Examples
    --------
    >>> low, high = proportion_interval(80, 100)
    >>> round(low, 4), round(high, 4)
    (0.7112, 0.8666)
    """
    from scipy.stats import binomtest  # slow to load

    n = check_int("trials", trials, least=1)
    k = check_int("successes", successes, least=0)
    check_choice("method", method, ("wilson", "exact"))
    if k > n:
        raise ValueError(f"successes must be <= trials, got {k} of {n}: give counts")
    ends = binomtest(k, n).proportion_ci(check_confidence(confidence), method=method)
    return Interval(float(ends.low), float(ends.high))


def quantile(confidence: float, dof: float) -> float:
    """Two-sided Student quantile: |t| stays below it with chance `confidence`.

    Examples
    --------
    >>> round(quantile(0.95, 10.0), 4), round(quantile(0.95, 1e9), 4)
    (2.2281, 1.96)
    """
    from scipy.special import stdtrit

    return float(stdtrit(dof, 0.5 + check_confidence(confidence) / 2.0))


def ratio_sigma(
    n: int, x: float, y: float, xx: float, xy: float, yy: float
) -> tuple[float, float]:
    """Ratio of two sums and its standard error by the delta method, from moments.

    Parameters
    ----------
    n : int
        Independent pairs (x_i, y_i), at least 2.
    x, y, xx, xy, yy : float
        Sums over the pairs of x, y, x*x, x*y and y*y; y > 0.

    Returns
    -------
    ratio, sigma : float
        ``x / y`` and the standard error of it: with r the ratio, the sample deviation of
        x_i - r y_i (whose sum is 0) over sqrt(n) times the mean of y.

    Raises
    ------
    ValueError
        If there are fewer than two pairs, or y is not > 0.

    References
    ----------
    Cochran, "Sampling Techniques", 3rd ed., Wiley 1977, Eq. (2.46).

    Examples
    --------
    >>> ratio_sigma(2, 4.0, 2.0, 10.0, 4.0, 2.0)
    (2.0, 1.0)
    """
    if check_int("n", n, least=0) < 2:
        raise ValueError(f"an interval needs at least 2 observations, got {n}: collect more")
    if not y > 0.0:
        raise ValueError(f"the sum below the line of a ratio must be > 0, got {y:g}")
    ratio = x / y
    squares = xx - 2.0 * ratio * xy + ratio * ratio * yy
    squares = max(0.0, squares)  # a sum of squares: below 0 only by rounding
    return ratio, float(np.sqrt(squares / (n - 1) * n)) / y


def ratio_interval(
    numerators: npt.ArrayLike, denominators: npt.ArrayLike, *, confidence: float = 0.95
) -> Interval:
    """Interval of a ratio of means by the delta method.

    Parameters
    ----------
    numerators, denominators : array_like, shape (n,)
        Pairs, one per cycle or prompt, n >= 2; the denominators sum to more than 0. The
        ratio is sum over sum, not the mean of ratios.
    confidence : float
        Strictly between 0 and 1.

    Returns
    -------
    Interval
        Centred at the ratio; Student's quantile with n - 1 degrees of freedom.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two pairs, or the denominators sum to 0.

    Examples
    --------
    >>> low, high = ratio_interval([3, 4, 5, 4], [1, 1, 1, 1])
    >>> round(low, 4), round(high, 4)
    (2.7008, 5.2992)
    """
    x, y = _pairs(numerators, denominators)
    n = int(x.size)
    ratio, sigma = ratio_sigma(
        n, float(x.sum()), float(y.sum()), float(x @ x), float(x @ y), float(y @ y)
    )
    half = quantile(confidence, n - 1) * sigma
    return Interval(ratio - half, ratio + half)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A ratio, or a difference of two, with its bootstrap interval and standard error."""

    estimate: float
    interval: Interval
    sigma: float  # standard deviation over the resamples
    n_resamples: int


def bootstrap_ratio(
    numerators: npt.ArrayLike,
    denominators: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    against: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    n_resamples: int = 4000,
    confidence: float = 0.95,
) -> Bootstrap:
    """Bootstrap over prompts of a ratio of sums, or of a paired difference of two ratios.

    Cycles of one prompt are alike, so prompts, not cycles, are drawn with replacement.

    Parameters
    ----------
    numerators, denominators : array_like, shape (n_prompts,)
        Sums per prompt, for example tokens and target passes, or tokens and seconds;
        n_prompts >= 2, denominators > 0.
    rng : numpy.random.Generator
        Source of the resamples.
    against : (numerators, denominators), optional
        A second system on the same prompts, in the same order: the estimate is then the
        first ratio minus the second, and both are resampled together.
    n_resamples : int
        At least 100.
    confidence : float
        Strictly between 0 and 1.

    Returns
    -------
    Bootstrap
        Percentile interval; it contains the estimate except for very skewed data.

    Raises
    ------
    TypeError, ValueError
        If `rng` is a seed, shapes differ, or a denominator is not > 0.

    References
    ----------
    Efron and Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall 1993, Sec. 13.3.

    Examples
    --------
    >>> found = bootstrap_ratio([30, 42, 36], [10, 12, 12], rng=np.random.default_rng(1))
    >>> round(found.estimate, 4), found.interval.holds(3.1)
    (3.1765, True)
    """
    check_generator(rng)
    check_int("n_resamples", n_resamples, least=100)
    level = check_confidence(confidence)
    sums = [*_pairs(numerators, denominators)]
    if against is not None:
        sums += _pairs(*against)
        if sums[2].size != sums[0].size:
            raise ValueError(
                f"against must hold the same prompts, got {sums[2].size} and {sums[0].size}"
            )
    for below in sums[1::2]:
        if not np.all(below > 0.0):
            raise ValueError(f"denominators must be > 0 for each prompt, got {below.min():g}")
    table = np.stack(sums, axis=1)  # (n_prompts, 2 or 4)
    n_prompts = table.shape[0]
    values = np.empty(n_resamples)
    chunk = max(1, 2**21 // n_prompts)  # 16 MiB of indices at most
    for start in range(0, n_resamples, chunk):
        size = min(chunk, n_resamples - start)
        weights = rng.multinomial(n_prompts, np.full(n_prompts, 1.0 / n_prompts), size=size)
        values[start : start + size] = _difference(weights @ table)
    low, high = np.quantile(values, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return Bootstrap(
        float(_difference(table.sum(axis=0))),
        Interval(float(low), float(high)),
        float(values.std(ddof=1)),
        n_resamples,
    )


def _difference(sums: Floats) -> Floats:
    """First ratio minus second, shape (...), from sums of shape (..., 2 or 4)."""
    ratio = sums[..., 0] / sums[..., 1]
    return np.asarray(ratio if sums.shape[-1] == 2 else ratio - sums[..., 2] / sums[..., 3])


def _pairs(numerators: npt.ArrayLike, denominators: npt.ArrayLike) -> tuple[Any, Any]:
    x, y = as_floats("numerators", numerators), as_floats("denominators", denominators)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"numerators and denominators must be vectors of one length, got {x.shape}, {y.shape}"
        )
    if x.size < 2:
        raise ValueError(f"an interval needs at least 2 pairs, got {x.size}: collect more")
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise ValueError("numerators and denominators must be finite: drop the failed prompts")
    return x, y
