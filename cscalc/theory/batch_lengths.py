"""The best draft length at every batch size, by the exact law and a verification curve each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cscalc._checks import check_int, check_number
from cscalc._verify_costs import Curve
from cscalc.cascade import Cascade, Draft
from cscalc.profile import Profile
from cscalc.theory.law import ewif

VerifyOfBatch = (
    Callable[[int], npt.ArrayLike | Curve | None] | Mapping[int, npt.ArrayLike | Curve | None]
)


@dataclass(frozen=True, slots=True)
class BatchLength:
    """The best draft length of one model at one batch size.

    Attributes
    ----------
    batch : int
        Sequences, >= 1.
    model : int
        The draft model.
    length : int
        Draft length, tokens; 0 where plain decoding is best.
    ewif : float
        Predicted EWIF at this batch size, >= 1.

    Examples
    --------
    >>> from cscalc.profile import Profile
    >>> (one,) = per_batch_lengths(Profile([0.8], [0.05]), [1], {1: None})
    >>> one.length
    8
    """

    batch: int
    model: int
    length: int
    ewif: float


def per_batch_lengths(
    profile: Profile,
    batch_sizes: Sequence[int],
    verify_of_batch: VerifyOfBatch,
    *,
    model: int | None = None,
    cost_of_batch: Callable[[int], float] | None = None,
    max_length: int = 16,
) -> tuple[BatchLength, ...]:
    """Draft lengths with the largest EWIF, for each batch size, of one draft model.

    Parameters
    ----------
    profile : Profile
        Acceptance rates and model, costs, one-shot drafts; its own `verify` is not read.
    batch_sizes : sequence of int
        Sequences decoded together, each >= 1, in increasing order.
    verify_of_batch : callable or mapping, batch size -> verify
        Cost of the target's pass over m positions a sequence at that batch size, in its
        one-position passes there: an array over m = 1, 2, ..., a callable of m, or None
        (always 1). From a roofline: ``lambda batch: RooflineCurve(size, gpu, batch=batch)``.
    model : int, optional
        The draft model; default: the one with the largest EWIF at the smallest batch.
    cost_of_batch : callable, optional
        Batch size -> one pass of the draft in target passes at that size; default: the
        profile's cost at every size.
    max_length : int
        Longest draft tried, tokens, >= 1; not beyond what a measured curve covers.

    Returns
    -------
    tuple of BatchLength
        In the order of `batch_sizes`; ties go to the shorter draft.

    Raises
    ------
    TypeError, ValueError
        If a batch size is no int >= 1 or out of order, a curve does not fit, `model` is no
        draft of the profile, or `max_length` is below 1.

    Notes
    -----
    The expectation is per sequence: each keeps what it accepted (a ragged batch), as vLLM and
    SGLang do. In a batch the pass costs V(m) of all sequences together, so long drafts stop
    paying once the arithmetic of a pass, not its memory traffic, takes the time (SmartSpec,
    arXiv:2406.14066; MagicDec, arXiv:2408.11049).

    Examples
    --------
    >>> profile = Profile([0.8], [0.05])
    >>> free, linear = None, lambda m: 0.5 + 0.5 * m
    >>> [one.length for one in per_batch_lengths(profile, [1, 64], {1: free, 64: linear})]
    [8, 2]
    """
    sizes = [check_int("batch_sizes", size, least=1) for size in batch_sizes]
    if not sizes or any(a >= b for a, b in pairwise(sizes)):
        raise ValueError(f"batch_sizes must be increasing and not empty, got {batch_sizes!r}")
    longest = check_int("max_length", max_length, least=1)
    if model is not None and not 1 <= check_int("model", model, least=1) <= profile.n_drafts:
        raise ValueError(f"model must be a draft 1..{profile.n_drafts}, got {model}")
    if profile.n_drafts == 0:
        raise ValueError("profile must have a draft, got none: add its alphas and costs")
    chosen = None if model is None else int(model)
    if chosen is None:
        models = range(1, profile.n_drafts + 1)
        first = [_best(profile, sizes[0], verify_of_batch, m, None, longest) for m in models]
        chosen = max(first, key=lambda one: one.ewif).model
    return tuple(
        _best(profile, size, verify_of_batch, chosen, cost_of_batch, longest) for size in sizes
    )


def _best(
    profile: Profile,
    batch: int,
    verify_of_batch: VerifyOfBatch,
    model: int,
    cost_of_batch: Callable[[int], float] | None,
    longest: int,
) -> BatchLength:
    if isinstance(verify_of_batch, Mapping):
        if batch not in verify_of_batch:
            raise ValueError(f"verify_of_batch has no curve for batch size {batch}: add one")
        curve = verify_of_batch[batch]
    else:
        curve = verify_of_batch(batch)
    costs = np.array(profile.costs)
    if cost_of_batch is not None:
        costs[model - 1] = check_number("cost_of_batch", cost_of_batch(batch), least=0.0)
    here = Profile(
        profile.alphas,
        costs,
        one_shot=profile.one_shot,
        verify=None if curve is None else {0: curve},
        acceptance=profile.acceptance,
    )
    room = here.max_positions(0)
    most = longest if room is None else min(longest, room - 1)
    values = [1.0] + [ewif(Cascade((Draft(model, k),)), here) for k in range(1, most + 1)]
    length = max(range(most + 1), key=lambda k: (values[k], -k))
    return BatchLength(batch, model, length, values[length])


def batch_ranges(lengths: Sequence[BatchLength]) -> list[list[int]]:
    """Ranges of batch sizes as vLLM's ``num_speculative_tokens_per_batch_size`` takes them.

    Parameters
    ----------
    lengths : sequence of BatchLength
        In increasing order of batch sizes.

    Returns
    -------
    list of [int, int, int]
        First and last batch size, and the draft length in between; the first range starts at 1.
        Between two batch sizes the larger one's length holds, which drafts no more than pays.

    Examples
    --------
    >>> four, one = BatchLength(8, 1, 4, 2.1), BatchLength(64, 1, 1, 1.2)
    >>> batch_ranges([four, one])
    [[1, 8, 4], [9, 64, 1]]
    """
    ranges: list[list[int]] = []
    for one in lengths:
        if ranges and ranges[-1][2] == one.length:
            ranges[-1][1] = one.batch
        else:
            ranges.append([ranges[-1][1] + 1 if ranges else 1, one.batch, one.length])
    return ranges
