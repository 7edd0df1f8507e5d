"""Acceptance rates out of the records of prompts: sums that pool."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_int

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class RateSums:
    """For each prompt and pair of models, what an acceptance rate is a quotient of.

    Attributes
    ----------
    accepted : ndarray, shape (prompts, n, n)
        ``accepted[p, i, j]``: expected accepted proposals of draft j by model i; i < j.
    judged : ndarray, shape (prompts, n, n)
        Proposals that came to be looked at. 0 where i is one-shot and never reviews.
    """

    accepted: Floats
    judged: Floats

    def pooled(self) -> Floats:
        """Rates over all prompts, shape (n, n), with ones on the diagonal."""
        return _rates(self.accepted.sum(axis=0), self.judged.sum(axis=0))

    def own(self) -> Floats:
        """Rates of each prompt in which all pairs were looked at, shape (prompts, n, n)."""
        unseen = (self.judged == 0.0) & (self.judged.sum(axis=0) > 0.0)
        whole = ~unseen.any(axis=(1, 2))
        return _rates(self.accepted[whole], self.judged[whole])

    def resampled(self, weights: npt.NDArray[np.int64]) -> Floats:
        """Rates over prompts drawn so many times, (resamples, prompts) -> (resamples, n, n)."""
        accepted = np.tensordot(weights, self.accepted, axes=1)
        judged = np.tensordot(weights, self.judged, axes=1)
        # a resample may hold only prompts in which a pair was never looked at
        seen = self.judged.sum(axis=0) > 0.0
        return np.where((judged > 0.0) | ~seen, _rates(accepted, judged), self.pooled())

    def influence(self) -> Floats:
        """First-order pull of each prompt on the pooled rates, shape (prompts, n, n).

        The rates' sampling deviations over prompts are those of the mean of these numbers
        (Cochran, "Sampling Techniques", 3rd ed., Wiley 1977, Sec. 2.11).
        """
        mean = self.judged.mean(axis=0)
        rest = self.accepted - self.pooled() * self.judged
        pull: Floats = rest / np.where(mean > 0.0, mean, 1.0)
        return pull


def rate_sums(
    records: Sequence[Record], n_models: int, one_shot: Collection[int] = ()
) -> RateSums:
    """Sums per prompt behind `cscalc.own_rates.pooled_rates`.

    Parameters
    ----------
    records : sequence of mapping
        One a prompt; ``record["overlap"]["i,j"]`` lists the overlap of draft j under reviewer i
        at every place that was looked at, each in [0, 1]. A pair not named there was not looked
        at in this prompt.
    n_models : int
        The target and its drafts, >= 1.
    one_shot : collection of int
        Models that never review; their rows stay 0.

    Returns
    -------
    RateSums

    Raises
    ------
    TypeError
        If a record holds something that is not numbers.
    ValueError
        If a record has no overlaps at all, or none has a context for a pair.

    Examples
    --------
    >>> records = [{"overlap": {"0,1": [0.5, 1.0]}}, {"overlap": {"0,1": [0.9]}}]
    >>> round(float(rate_sums(records, 2).pooled()[0, 1]), 12)
    0.8
    """
    size = check_int("n_models", n_models, least=1)
    accepted = np.zeros((len(records), size, size))
    judged = np.zeros_like(accepted)
    for i in (model for model in range(size) if model not in one_shot):
        for j in range(i + 1, size):
            for p, record in enumerate(records):
                values = _overlaps(record, p, f"{i},{j}")
                accepted[p, i, j], judged[p, i, j] = values.sum(), values.size
            if not judged[:, i, j].any():
                raise ValueError(f"no context was measured for the pair {i},{j}: measure again")
    return RateSums(accepted, judged)


def _rates(accepted: Floats, judged: Floats) -> Floats:
    """Quotients in [0, 1], 0 where nothing was judged, with ones on the diagonal."""
    rates: Floats = accepted / np.where(judged > 0.0, judged, 1.0)
    rates = np.clip(rates, 0.0, 1.0)  # records are rounded
    diagonal = np.arange(rates.shape[-1])
    rates[..., diagonal, diagonal] = 1.0
    return rates


def _overlaps(record: Record, number: int, pair: str) -> Floats:
    overlap = record.get("overlap")
    if not isinstance(overlap, Mapping):
        raise ValueError(f"record {number} has no overlaps: measure the prompts again")
    values = as_floats(f"overlap of {pair} in record {number}", overlap.get(pair, ()))
    if values.ndim != 1 or not np.all((values >= 0.0) & (values <= 1.0)):
        raise ValueError(f"overlap of {pair} in record {number} must be a list of rates in [0, 1]")
    return values
