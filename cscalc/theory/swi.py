"""Standardised walltime improvement (SWI) of CS Drafting, its cost tables, and tokens per second.

Source: Chen et al. "Cascade Speculative Drafting for Even Faster LLM Inference." NeurIPS 2024,
arXiv:2312.11462, section 5; PW costs from Leviathan et al., ICML 2023, arXiv:2211.17192. SWI is
the speed-up over plain decoding if every pass of a model takes the same time. Costs of different
tables must not be mixed, so each function takes one table.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_costs, check_shapes
from cscalc.theory.series import unwrap

MS_COSTS_AS_RELEASED: Mapping[str, float] = MappingProxyType(
    {
        "t5-xxl": 11300.0,
        "t5-xl": 3000.0,
        "t5-large": 770.0,
        "t5-base": 220.0,
        "t5-small": 60.0,
        "llama-68m": 68.0,
        "llama-160m": 160.0,
        "llama-7b": 70000.0,
        "max-gram": 0.0,
    }
)
"""Cost of one pass ~ parameters (millions), as in the authors' code: llama-7b is ten times off."""

MS_COSTS: Mapping[str, float] = MappingProxyType({**MS_COSTS_AS_RELEASED, "llama-7b": 7000.0})
"""Cost of one pass ~ parameters (millions), with llama-7b as meant."""

PW_COSTS: Mapping[str, float] = MappingProxyType(
    {"t5-xxl": 1.0, "t5-large": 0.11, "t5-base": 0.04, "t5-small": 0.02, "max-gram": 0.0}
)
"""Cost of one pass from previous work: Leviathan et al.'s measured ratios to T5-XXL."""


def cost_coefficients(
    costs: Mapping[str, float], target: str, drafts: Sequence[str]
) -> tuple[float, ...]:
    """Costs of the drafts in target passes, from one cost table.

    Parameters
    ----------
    costs : mapping of str to float
        Cost of one pass of each model, in any one unit: `MS_COSTS`, `PW_COSTS`, or measured
        seconds.
    target : str
        Name of the target in that table; its cost must be > 0.
    drafts : sequence of str
        Names of the drafts.

    Returns
    -------
    tuple of float
        One cost coefficient per draft, in target passes.

    Raises
    ------
    ValueError
        If a name is not in the table, or a cost is out of its range.

    Examples
    --------
    >>> [round(cost, 4) for cost in cost_coefficients(MS_COSTS, "t5-xxl", ["t5-base", "max-gram"])]
    [0.0195, 0.0]
    """
    for name in (target, *drafts):
        if name not in costs:
            raise ValueError(f"no cost for {name!r}: give one of {', '.join(map(repr, costs))}")
    unit = float(check_costs("the target's cost", costs[target]))
    if unit == 0.0:
        raise ValueError(f"the target {target!r} must cost > 0, got 0: costs are relative to it")
    return tuple(float(check_costs(f"cost of {name}", costs[name])) / unit for name in drafts)


def swi(
    tokens: npt.ArrayLike,
    target_passes: npt.ArrayLike,
    draft_passes: npt.ArrayLike,
    costs: npt.ArrayLike,
) -> Floats:
    """Standardised walltime improvement from counted passes.

    Parameters
    ----------
    tokens : array_like, shape (...)
        Tokens emitted, > 0.
    target_passes : array_like, shape (...)
        Passes of the target, > 0.
    draft_passes : array_like, shape (..., drafts)
        Passes of each draft (one per token; one per call for a one-shot draft), >= 0.
    costs : array_like, shape (drafts,)
        Time of one pass of each draft, in target passes, >= 0: see `cost_coefficients`.

    Returns
    -------
    float or ndarray, shape (...)
        Tokens over target-pass times; 1 is plain decoding.

    Raises
    ------
    ValueError
        If an argument is out of its range or the last axes differ.

    Examples
    --------
    >>> round(float(swi(300, 80, [400, 80], [0.04, 0.0])), 3)
    3.125
    """
    emitted, passes = check_costs("tokens", tokens), check_costs("target_passes", target_passes)
    if not (np.all(emitted > 0.0) and np.all(passes > 0.0)):
        raise ValueError("tokens and target_passes must be > 0, got 0: count a run that emitted")
    counts, prices = check_costs("draft_passes", draft_passes), check_costs("costs", costs)
    if counts.ndim == 0 or prices.ndim == 0 or counts.shape[-1] != prices.shape[-1]:
        raise ValueError(
            f"draft_passes needs one entry per cost, got shapes {counts.shape} and {prices.shape}"
        )
    return unwrap(emitted / (passes + (counts * prices).sum(axis=-1)))


def tokens_per_second(ewif: npt.ArrayLike, target_seconds: npt.ArrayLike) -> Floats:
    """Speed that an EWIF predicts, from the time of one target pass.

    Parameters
    ----------
    ewif : array_like
        Predicted tokens per target-pass time, > 0.
    target_seconds : array_like
        Time of one target pass, in seconds, > 0.

    Returns
    -------
    float or ndarray
        Tokens per second.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> float(tokens_per_second(2.0, 0.04))
    50.0
    """
    check_shapes(ewif=ewif, target_seconds=target_seconds)
    return unwrap(_positive("ewif", ewif) / _positive("target_seconds", target_seconds))


def ewif_from_speed(tokens_per_second: npt.ArrayLike, target_seconds: npt.ArrayLike) -> Floats:
    """Tokens per target-pass time of a measured speed; the inverse of `tokens_per_second`.

    Parameters
    ----------
    tokens_per_second : array_like
        Measured speed, > 0.
    target_seconds : array_like
        Time of one target pass, in seconds, > 0.

    Returns
    -------
    float or ndarray
        Measured speed-up over a target that decodes alone at one pass per token.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> float(ewif_from_speed(50.0, 0.04))
    2.0
    """
    check_shapes(tokens_per_second=tokens_per_second, target_seconds=target_seconds)
    speed = _positive("tokens_per_second", tokens_per_second)
    return unwrap(speed * _positive("target_seconds", target_seconds))


def _positive(name: str, values: npt.ArrayLike) -> Floats:
    numbers = as_floats(name, values)
    good = np.isfinite(numbers) & (numbers > 0.0)
    if not np.all(good):
        worst = numbers[~good].flat[0]
        raise ValueError(f"{name} must be finite and > 0, got {worst:g}: give a measured value")
    return numbers
