"""Does a tally agree with a law? The law comes in as numbers; no formula is known here."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_number
from cscalc.goodness import ChiSquare, chi_square, false_alarm, z_score
from cscalc.simulate.tally import Tally


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a tally lies from a law, in sigmas and as a chi-square of emitted lengths.

    Attributes
    ----------
    z_tokens : float
        Tokens per cycle against the law's mean, in the law's own sigmas (estimated from the
        tally's blocks where cycles depend on one another).
    z_cost, z_ewif : float
        Cost per cycle and EWIF, in sigmas estimated from the tally.
    lengths : ChiSquare
        Histogram of emitted lengths against the law. Not tested (p-value 1) where cycles depend
        on one another: the statistic supposes independent ones.
    """

    z_tokens: float
    z_cost: float
    z_ewif: float
    lengths: ChiSquare

    @property
    def false_alarm(self) -> float:
        """Chance that a right law looks this bad, by the union of the four checks."""
        zs = (self.z_tokens, self.z_cost, self.z_ewif)
        return min(1.0, 4.0 * min(self.lengths.p_value, *(false_alarm(z) for z in zs)))

    def holds(self, *, alarm: float = 1e-6) -> bool:
        """Whether none of the checks is beyond a false-alarm rate of `alarm` in all."""
        return self.false_alarm >= check_number("alarm", alarm, least=0.0, most=1.0)


def agreement(tally: Tally, pmf: npt.ArrayLike, cost: float) -> Agreement:
    """Compare a tally with the law that it should follow.

    Parameters
    ----------
    tally : Tally
        Of at least 2 cycles.
    pmf : array_like, shape (max_length + 2,)
        Law of the tokens per cycle, from `cscalc.token_law`; index = tokens.
    cost : float
        Expected cost of a cycle, in target passes.

    Returns
    -------
    Agreement
        Use enough cycles (100,000, say) for means to be near normal.

    Raises
    ------
    ValueError
        If `pmf` has not the length of the tally's histogram, or is not a law.

    Examples
    --------
    >>> from cscalc.cascade import Cascade, Draft
    >>> from cscalc.profile import Profile
    >>> from cscalc.simulate.events import simulate
    >>> tally = simulate(Cascade((Draft(1, 1),)), Profile([0.8], [0.1]), 100_000,
    ...                  rng=np.random.default_rng(1))
    >>> agreement(tally, [0, 0.2, 0.8], 1.1).holds(), agreement(tally, [0, 0.2, 0.8], 1.0).holds()
    (True, False)
    """
    law: Floats = as_floats("pmf", pmf)
    lengths = chi_square(tally.counts, law)
    tokens = np.arange(law.size)
    mean = float(law @ tokens)
    sigma = float(np.sqrt(float(law @ (tokens - mean) ** 2) / tally.cycles))
    if tally.blocks:
        sigma = tally.tokens_sigma
        if np.isfinite(lengths.statistic):  # else an outcome was seen that the law excludes
            lengths = ChiSquare(0.0, 0, 1.0)
    return Agreement(
        z_score(tally.tokens_per_cycle - mean, sigma),
        z_score(tally.cost_per_cycle - cost, tally.cost_sigma, rounding=1e-9 * max(1.0, cost)),
        z_score(tally.ewif - mean / cost, tally.sigma),
        lengths,
    )
