"""Exact laws of one cycle: tokens emitted, passes of each model, cost.

The public functions take a `Cascade` and a `Profile`. The work is done by a compiled kernel
(`cscalc.theory._law_kernel`), for acceptance models with memory by the other `_law_*` modules;
`cycle_law_slow` is their readable twin, on which tests rely.
"""

from dataclasses import dataclass

import numpy as np

from cscalc._checks import Floats, check_number
from cscalc._fit import check_fit
from cscalc.acceptance import Markov, Trace
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.theory._law_program import WITH_MEMORY, program_of, reach_of, tables_of


@dataclass(frozen=True, slots=True, eq=False)
class CycleLaw:
    """What one cycle of a cascade does, exactly, under the profile's acceptance model.

    Attributes
    ----------
    pmf : ndarray, shape (max_length + 2,)
        ``pmf[i]`` is the probability that a cycle emits i tokens; ``pmf[0]`` is 0.
    passes : ndarray, shape (n_drafts + 1,)
        Expected passes of each model per cycle (calls, for a one-shot model).
    costs : ndarray, shape (n_drafts + 1,)
        Expected cost of each model per cycle, in target passes.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> law = cycle_law(Cascade((Draft(1, 2),)), Profile([0.5], [0.1]))
    >>> round(law.mean, 4), round(law.ewif, 4), law.quantile(0.5)
    (1.75, 1.4583, 1)
    """

    pmf: Floats
    passes: Floats
    costs: Floats

    @property
    def mean(self) -> float:
        """Expected tokens per cycle."""
        return float(self.pmf @ np.arange(self.pmf.size))

    @property
    def variance(self) -> float:
        """Variance of the tokens per cycle."""
        tokens = np.arange(self.pmf.size)
        return max(0.0, float(self.pmf @ (tokens - self.mean) ** 2))

    @property
    def cost(self) -> float:
        """Expected cost of a cycle, in target passes."""
        return float(self.costs.sum())

    @property
    def ewif(self) -> float:
        """Tokens per target-pass time; 1 is plain decoding."""
        return self.mean / self.cost

    def quantile(self, level: float) -> int:
        """Smallest number of tokens that a cycle emits at most with probability `level`."""
        check_number("level", level, least=0.0, most=1.0)
        return int(np.searchsorted(np.cumsum(self.pmf), level - 1e-15, side="left"))


def cycle_law(cascade: Cascade, profile: Profile) -> CycleLaw:
    r"""Exact law of one cycle of `cascade` on `profile`.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Acceptance rates, costs and acceptance model of its models.

    Returns
    -------
    CycleLaw
        The law of the tokens per cycle, and expected passes and cost of each model.

    Raises
    ------
    ValueError
        If the cascade uses a model that the profile lacks, lets a one-shot model review, or
        reviews more positions than `Profile.verify` covers.

    Notes
    -----
    A dynamic program over the draft length l in front of a reviewer with two weights: W(l),
    the probability that l is reached, and A(l), that l is reached with every token so far
    accepted. A call that adds L tokens moves both; a token that fails after j accepted ones
    moves its share of A to "emits j + 1". What is left in A at the end emits l + 1. Inner
    rounds are the same program one level down, so their emitted length is the next L.
    Proposals of model j are accepted by reviewer i independently with rate
    ``alphas[i, j]``, or as the profile's acceptance model says; what "one cycle" then means is
    told at each model in `cscalc.acceptance`. One cycle costs the target's pass over (draft
    length + 1) positions plus all passes of the drafts.

    All laws are exact up to rounding; that of a `BetaMixture` is a quadrature whose last two
    rules agree to 1e-12.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> law = cycle_law(Cascade((Draft(1, 2),)), Profile([0.5], [0.1]))
    >>> law.pmf.tolist(), round(law.cost, 12)
    ([0.0, 0.5, 0.25, 0.25], 1.2)
    """
    from cscalc.theory import _law_kernel  # numba loads here, not with `import cscalc`

    check_fit(cascade, profile)
    if isinstance(profile.acceptance, WITH_MEMORY):
        return _law_with_memory(cascade, profile)
    program, children, most = program_of(cascade)
    rates, costs, curves = tables_of(profile, reach_of(profile, cascade, most))
    pmf, passes, cost = _law_kernel.cycle(program, children, most, rates, costs, curves)
    return CycleLaw(pmf, passes, cost)


def _law_with_memory(cascade: Cascade, profile: Profile) -> CycleLaw:
    model = profile.acceptance
    if isinstance(model, Markov):
        from cscalc.theory._law_markov import markov_law

        return CycleLaw(*markov_law(cascade, profile, model))
    program = program_of(cascade)
    tables = tables_of(profile, reach_of(profile, cascade, program[2]))
    if isinstance(model, Trace):
        from cscalc.theory._law_trace import trace_law

        return CycleLaw(*trace_law(cascade, profile, model, program, tables)[:3])
    from cscalc.theory import _law_kernel
    from cscalc.theory._law_mixture import average

    def law_of(alphas: Floats) -> Floats:
        rates = np.ascontiguousarray(np.broadcast_to(alphas[..., None], (4, *alphas.shape, 1)))
        return np.concatenate(_law_kernel.cycle(*program, rates, *tables[1:]))

    joined, n = average(law_of, cascade, profile), profile.n_drafts + 1
    return CycleLaw(joined[: -2 * n], joined[-2 * n : -n], joined[-n:])


def token_law(cascade: Cascade, profile: Profile) -> Floats:
    """Probability that a cycle emits 0, 1, 2, ... tokens, shape (max_length + 2,).

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Acceptance rates and costs of its models.

    Returns
    -------
    ndarray
        Index = tokens, the correction or bonus token included; entry 0 is 0.

    Raises
    ------
    ValueError
        As `cycle_law`.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> token_law(Cascade((Draft(1, 1),)), Profile([0.8], [0.1])).round(12).tolist()
    [0.0, 0.2, 0.8]
    """
    return cycle_law(cascade, profile).pmf


def expected_tokens(cascade: Cascade, profile: Profile) -> float:
    """Expected tokens that a cycle emits.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Acceptance rates, costs and acceptance model of its models.

    Returns
    -------
    float
        Tokens per cycle, the correction or bonus token included; in [1, max_length + 1].

    Raises
    ------
    ValueError
        As `cycle_law`.

    Notes
    -----
    From the exact law of the cycle, see `cycle_law`.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> round(expected_tokens(Cascade((Draft(1, 5),)), Profile([0.8], [0.1])), 5)
    3.68928
    """
    return cycle_law(cascade, profile).mean


def cycle_cost(cascade: Cascade, profile: Profile) -> float:
    """Expected cost of a cycle: its verification plus all drafting.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Acceptance rates, costs and acceptance model of its models.

    Returns
    -------
    float
        Target passes per cycle, > 0.

    Raises
    ------
    ValueError
        As `cycle_law`.

    Notes
    -----
    From the exact law of the cycle, see `cycle_law`.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> cycle_cost(Cascade((Draft(1, 5),)), Profile([0.8], [0.1]))
    1.5
    """
    return cycle_law(cascade, profile).cost


def ewif(cascade: Cascade, profile: Profile) -> float:
    """Expected walltime improvement factor: `expected_tokens` / `cycle_cost`.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar; ``Cascade(())``, plain decoding, has EWIF 1.
    profile : Profile
        Acceptance rates and costs of its models.

    Returns
    -------
    float
        Tokens per target-pass time, > 0.

    Raises
    ------
    ValueError
        As `cycle_law`.

    Notes
    -----
    The EWIF of CS Drafting (Chen et al., NeurIPS 2024, arXiv:2312.11462), from the exact law.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> round(ewif(Cascade((Draft(1, 5),)), Profile([0.8], [0.1])), 5)
    2.45952
    """
    return cycle_law(cascade, profile).ewif


def cycle_law_slow(cascade: Cascade, profile: Profile) -> CycleLaw:
    """The same law with dictionaries and recursion, for reading and for tests.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Acceptance rates, costs and acceptance model of its models.

    Returns
    -------
    CycleLaw
        As `cycle_law`, up to rounding.

    Notes
    -----
    For `Markov` it sums over all paths of the difficulty: short drafts only.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> law = cycle_law_slow(Cascade((Draft(1, 2),)), Profile([0.5], [0.1]))
    >>> law.pmf.tolist()
    [0.0, 0.5, 0.25, 0.25]
    """
    from cscalc.theory import _law_slow

    check_fit(cascade, profile)
    return CycleLaw(*_law_slow.law(cascade, profile))
