"""What decides the coins where no one table of rates does: prompts, texts, difficulty, abstention.

A *world* is a program (`cscalc.simulate.programs`) together with the rates that its reviewers
find at each cycle or place; `cscalc.simulate._world_kernels` steps through it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_int, check_number
from cscalc.acceptance import Acceptance, BetaMixture, Markov, Mixture, Trace
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.simulate.programs import (
    FIRST_CHILD,
    MODEL,
    N_CHILDREN,
    REVIEW,
    WHAT,
    Ints,
    Program,
    program_of,
)

TABLE, PROMPTS, TEXTS, CHAIN = range(4)
AT_ONCE = 4096  # prompts drawn at a time; fixed, so that the result depends on nothing else
WITH_MEMORY = (Mixture, BetaMixture, Markov, Trace)
Abstain = Mapping[int, float] | None
Tables = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A program and what its reviewers' coins depend on.

    Attributes
    ----------
    program : Program
        Without leaves: every draft has a row.
    kind : int
        TABLE: rates by kind of token and position. PROMPTS: each cycle (or reply) has its own.
        TEXTS: by place in a text. CHAIN: by the state of the place, 0 easy, 1 hard.
    pairs : tuple of (reviewer, draft)
        The columns of `table`.
    columns : ndarray of int, shape (n_rows,)
        Column of the tokens of each row of the program.
    table : ndarray, shape (n, kinds, n_columns, n_positions)
        Rates; n is 1, prompts, places of all texts on end, or 2 states.
    firsts, lasts : ndarray of int, shape (n_texts,)
        Rows of the first and the last token of each text.
    easy : ndarray, shape (3,)
        Chance of an easy token after an easy one, after a hard one, and of the token before
        the first cycle being easy.
    abstain : ndarray, shape (n + 1,)
        Chance that a call of each model proposes nothing.
    sigmas : ndarray, shape (n + 1,)
        Standard deviation of the logarithm of each model's pass time.
    """

    program: Program
    kind: int
    pairs: tuple[tuple[int, int], ...]
    columns: Ints
    table: Floats
    firsts: Ints
    lasts: Ints
    easy: Floats
    abstain: Floats
    sigmas: Floats
    profile: Profile

    @property
    def has_memory(self) -> bool:
        """Whether a cycle depends on the one before it."""
        return self.kind in (TEXTS, CHAIN)

    @property
    def reference(self) -> int:
        """State in front of a cycle at which a new block begins: the more common one."""
        return 0 if self.easy[2] >= 0.5 else 1

    def tables(self, table: Floats) -> Tables:
        """What the kernels step through, with the rates of these prompts."""
        one = self.program
        return (
            one.rows, one.children, one.passes, one.costs, one.calls, one.curves, self.columns,
            table, self.firsts, self.lasts, self.easy, self.abstain, self.sigmas,
        )  # fmt: skip

    def prompts(self, size: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
        """Rates of `size` prompts: a table, and the row of each of them in it."""
        model = self.profile.acceptance
        if self.kind != PROMPTS:
            return self.table, np.zeros(size, dtype=np.int64)
        if isinstance(model, Mixture):
            weights = np.asarray(model.weights)
            return self.table, rng.choice(weights.size, size, p=weights)
        u, rates = rng.random(size), np.empty((size, 1, len(self.pairs), 1))
        for column, pair in enumerate(self.pairs):
            rates[:, 0, column, 0] = beta_rates(float(self.profile.alphas[pair]), model, u)
        return rates, np.arange(size)


def beta_rates(alpha: float, model: Acceptance, u: Floats) -> Floats:
    """Rates of prompts with quantiles u in a `BetaMixture` around `alpha`."""
    from scipy.special import betaincinv

    if not isinstance(model, BetaMixture) or not 0.0 < alpha < 1.0:
        return np.full(u.size, alpha)
    a, b = model.concentration * alpha, model.concentration * (1.0 - alpha)
    return np.asarray(betaincinv(a, b, u))


def world_of(
    cascade: Cascade,
    profile: Profile,
    rates: npt.ArrayLike | None = None,
    abstain: Abstain = None,
    jitter: Mapping[int, float] | None = None,
) -> World:
    """Build the world of a cascade on a profile; arguments as for `simulate_reply`."""
    model, size = profile.acceptance, profile.n_drafts + 1
    memory = rates is None and isinstance(model, WITH_MEMORY)
    ones = np.ones((4, size, size, 1))
    program = program_of(cascade, profile, ones if memory else rates, leaves=False)
    pairs, columns = _columns(program)
    reviewers = np.array([i for i, _ in pairs], dtype=np.int64)
    drafts = np.array([j for _, j in pairs], dtype=np.int64)
    kind, firsts, easy = TABLE, np.zeros(1, dtype=np.int64), np.ones(3)
    lasts = firsts
    table = program.rates[None, :, reviewers, drafts, :]  # (1, 4, n_columns, n_positions)
    if memory and isinstance(model, Mixture):
        kind, table = PROMPTS, _by_row(np.asarray(model.alphas)[:, reviewers, drafts])
    elif memory and isinstance(model, BetaMixture):
        kind = PROMPTS
    elif memory and isinstance(model, Trace):
        kind = TEXTS
        overlaps = [
            model.overlaps(text, profile.alphas)[:, reviewers, drafts]
            for text in range(len(model.lengths))
        ]
        table = _by_row(np.concatenate(overlaps))
        ends = np.cumsum(model.lengths)
        firsts, lasts = ends - np.array(model.lengths), ends - 1
    elif memory and isinstance(model, Markov):
        kind, table = CHAIN, _by_row(model.state_alphas[:, reviewers, drafts])
        easy = np.array([*model.steps[:, 0], model.stationary[0]])
    return World(
        program=program,
        kind=kind,
        pairs=pairs,
        columns=columns,
        table=np.ascontiguousarray(table),
        firsts=firsts,
        lasts=lasts,
        easy=easy,
        abstain=_by_model("abstain", check_abstain(abstain, profile), size),
        sigmas=_by_model("jitter", check_jitter(jitter, profile), size),
        profile=profile,
    )


def _columns(program: Program) -> tuple[tuple[tuple[int, int], ...], Ints]:
    """Pairs (reviewer, draft) in use, and which of them each row of the program is."""
    rows, children = program.rows, program.children
    pairs: list[tuple[int, int]] = []
    columns = np.zeros(len(rows), dtype=np.int64)
    for row in rows[rows[:, WHAT] == REVIEW]:
        for child in children[row[FIRST_CHILD] : row[FIRST_CHILD] + row[N_CHILDREN]]:
            pair = int(row[MODEL]), int(rows[child, MODEL])
            if pair not in pairs:
                pairs.append(pair)
            columns[child] = pairs.index(pair)
    return tuple(pairs), columns


def _by_row(rates: Floats) -> Floats:
    return np.asarray(rates[:, None, :, None])  # (n, 1 kind, n_columns, 1 position)


def _by_model(name: str, given: dict[int, float], size: int) -> Floats:
    values = np.zeros(size)
    for model, value in given.items():
        values[model] = value
    return values


def check_abstain(abstain: Abstain, profile: Profile) -> dict[int, float]:
    """Return `abstain` in order of models, those of chance 0 left out."""
    found = _mapping("abstain", abstain, profile, most=1.0)
    for model in found:
        if model not in profile.one_shot:
            raise ValueError(
                f"abstain names model {model}, which is not one-shot, so it always proposes: list "
                f"it in the profile's one_shot or leave it out"
            )
    return found


def check_jitter(jitter: Mapping[int, float] | None, profile: Profile) -> dict[int, float]:
    """Return `jitter` in order of models, those of sigma 0 left out."""
    return _mapping("jitter", jitter, profile, most=10.0)


def _mapping(name: str, given: Any, profile: Profile, most: float) -> dict[int, float]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must map models to numbers, got {given!r}: write {{1: 0.2}}")
    found = {}
    for model, value in given.items():
        if check_int(f"{name} model", model, least=0) > profile.n_drafts:
            raise ValueError(
                f"{name} names model {model}, but there are models 0..{profile.n_drafts}"
            )
        found[int(model)] = check_number(f"{name} of model {model}", value, least=0.0, most=most)
    return {model: value for model, value in sorted(found.items()) if value > 0.0}


def options_of(
    profile: Profile,
    abstain: Abstain = None,
    jitter: Mapping[int, float] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Options as plain JSON data, for the experiment of a tally."""
    return {
        "abstain": {str(m): value for m, value in check_abstain(abstain, profile).items()},
        "jitter": {str(m): value for m, value in check_jitter(jitter, profile).items()},
        **more,
    }
