"""Acceptance rates out of the records of prompts: sums that pool."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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

    def resampled(self, n_resamples: int, rng: np.random.Generator) -> Floats:
        """Rates over prompts drawn with replacement, shape (n_resamples, n, n)."""
        n_prompts = self.accepted.shape[0]
        weights = rng.multinomial(n_prompts, np.full(n_prompts, 1.0 / n_prompts), n_resamples)
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
    """Sums per prompt behind `pooled_rates`.

    Parameters
    ----------
    records, n_models, one_shot
        As in `pooled_rates`.

    Returns
    -------
    RateSums

    Raises
    ------
    TypeError, ValueError
        As `pooled_rates`.
    """
    size = check_int("n_models", n_models, least=1)
    accepted = np.zeros((len(records), size, size))
    judged = np.zeros_like(accepted)
    for p, record in enumerate(records):
        for i in (model for model in range(size) if model not in one_shot):
            for j in range(i + 1, size):
                field = "survival" if j in one_shot else "overlap"
                values = _values(record, p, field, f"{i},{j}")
                if j in one_shot:  # proposal k is looked at where the k - 1 before it survived
                    accepted[p, i, j], judged[p, i, j] = values[1:].sum(), values[:-1].sum()
                else:
                    accepted[p, i, j], judged[p, i, j] = values.sum(), values.size
    empty = [
        (i, j)
        for i, j in np.argwhere(judged.sum(axis=0) == 0.0)
        if i < j and i not in one_shot and j not in one_shot
    ]
    if empty:
        i, j = empty[0]
        raise ValueError(f"overlap of {i},{j} holds no context in any record: measure prompts")
    return RateSums(accepted, judged)


def pooled_rates(
    records: Sequence[Record], n_models: int, one_shot: Collection[int] = ()
) -> Floats:
    """Acceptance rates pooled over the records of prompts.

    Parameters
    ----------
    records : sequence of mapping
        One a prompt. ``record["overlap"]["i,j"]`` lists the overlap (sum of min(p, q), in
        [0, 1]) of models i < j at every context; ``record["survival"]["i,j"]`` the expected
        number of contexts in which the first k = 0, 1, ... proposals of the one-shot model j
        are all accepted.
    n_models : int
        Target and drafts, >= 1.
    one_shot : collection of int
        Models whose proposals are fixed when they are called.

    Returns
    -------
    ndarray, shape (n_models, n_models)
        Entry (i, j), i < j: the mean overlap over all contexts; for a one-shot draft, accepted
        proposals over all that came to be looked at (a call that proposes nothing counts as
        one rejection; 0 if there is no call). Ones on the diagonal; 0 where a one-shot model
        would review, and below the diagonal.

    Raises
    ------
    TypeError
        If a record holds something that is not numbers.
    ValueError
        If a record lacks a pair, or no record has a context of it.

    Examples
    --------
    >>> records = [{"overlap": {"0,1": [0.5, 1.0]}}, {"overlap": {"0,1": [0.9]}}]
    >>> round(float(pooled_rates(records, 2)[0, 1]), 12)
    0.8
    """
    return rate_sums(records, n_models, one_shot).pooled()


def _rates(accepted: Floats, judged: Floats) -> Floats:
    """Quotients in [0, 1], 0 where nothing was judged, with ones on the diagonal."""
    rates: Floats = accepted / np.where(judged > 0.0, judged, 1.0)
    rates = np.clip(rates, 0.0, 1.0)  # records are rounded
    diagonal = np.arange(rates.shape[-1])
    rates[..., diagonal, diagonal] = 1.0
    return rates


def _values(record: Record, number: int, field: str, pair: str) -> Floats:
    try:
        given = record[field][pair]
    except KeyError as error:
        raise ValueError(
            f"record {number} has no {field} of models {pair}: measure the prompts again"
        ) from error
    values = as_floats(f"{field} of {pair} in record {number}", given)
    if values.ndim != 1 or not np.all(np.isfinite(values) & (values >= 0.0)):
        raise ValueError(f"{field} of {pair} in record {number} must be a list of numbers >= 0")
    return values
