"""Prompts with rates of their own: profiles by prompt, and a cascade over all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats
from cscalc.profile import Profile
from cscalc.rates import rate_sums


def pooled_rates(
    records: Sequence[Mapping[str, Any]], n_models: int, one_shot: Sequence[int]
) -> Floats:
    """Acceptance rates, shape (n_models, n_models): the mean overlap over all contexts, by pair.

    Parameters
    ----------
    records : sequence of mapping
        One a prompt; ``record["overlap"]["i,j"]`` lists the overlap of draft j under reviewer
        i in every context, each in [0, 1].
    n_models : int
        The target and its drafts.
    one_shot : sequence of int
        Models that never review; their rows are not read.

    Raises
    ------
    TypeError, ValueError
        As `cscalc.rates.rate_sums`: no record holds a context for a pair, say.

    Examples
    --------
    >>> records = [{"overlap": {"0,1": [1.0, 0.5]}}, {"overlap": {"0,1": [0.0]}}]
    >>> float(pooled_rates(records, 2, ())[0, 1])
    0.5
    """
    return rate_sums(records, n_models, one_shot).pooled()


def own_profiles(profile: Profile) -> dict[int, Profile]:
    """Profile of each measured prompt by its number: its own rates, the common costs.

    Raises
    ------
    ValueError
        If the profile holds no measured prompts.
    """
    prompts = (profile.measurement or {}).get("prompts")
    if not prompts:
        raise ValueError("this profile holds no measured prompts: make it with `validate.measure`")
    own = {}
    for record in prompts:
        if record["contexts"]:
            rates = pooled_rates([record], profile.n_drafts + 1, profile.one_shot)
            own[int(record["question_id"])] = Profile(
                rates, profile.costs, one_shot=profile.one_shot, verify=profile.verify,
                names=profile.names,
            )  # fmt: skip
    return own


def combined(
    tokens: npt.ArrayLike, means: npt.ArrayLike, costs: npt.ArrayLike
) -> tuple[float, float, float]:
    """Tokens per cycle, cycle cost and EWIF over prompts of different rates.

    Parameters
    ----------
    tokens : array_like, shape (prompts,)
        Tokens that each prompt writes.
    means, costs : array_like, shape (prompts,)
        Each prompt's expected tokens and cost of a cycle.

    Returns
    -------
    tuple of float
        All tokens over all cycles; all cost over all cycles; all tokens over all cost. A
        prompt that writes n tokens at m a cycle takes n / m cycles, so means combine
        harmonically: slow prompts have more cycles.

    Examples
    --------
    >>> tokens_per_cycle, cost, ewif = combined([60, 60], [1.0, 3.0], [1.2, 1.2])
    >>> tokens_per_cycle, round(ewif, 12)
    (1.5, 1.25)
    """
    written = np.asarray(tokens, dtype=np.float64)
    cycles = written / np.asarray(means, dtype=np.float64)
    spent = cycles * np.asarray(costs, dtype=np.float64)
    total = float(written.sum())
    return (
        total / float(cycles.sum()),
        float((spent / cycles.sum()).sum()),
        total / float(spent.sum()),
    )
