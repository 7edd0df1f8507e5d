"""Acceptance models with memory: the prompt, difficulty that lasts, overlaps that were measured.

What was accepted so far says something about the tokens to come, beyond the cycle too. Those
without memory, and what all have in common, are in `cscalc.acceptance`, from which these can be
imported as well. Descriptions only: their laws are in `cscalc.theory`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cscalc._acceptance_base import Acceptance
from cscalc._checks import Floats, as_floats, check_costs, check_number
from cscalc._pairs import (
    Pair,
    alpha_matrix,
    check_pairs,
    check_size,
    checked_pairs,
    frozen,
    pairs_to_json,
    rates_along,
)


@dataclass(frozen=True, slots=True, eq=False)
class Mixture(Acceptance):
    """Prompts of several kinds, each with its own alphas from its first cycle to its last.

    Attributes
    ----------
    weights : array_like, shape (k,)
        Share of each kind, > 0; scaled to sum to 1.
    alphas : array_like, shape (k, n + 1, n + 1) or (k, n)
        Acceptance rates of each kind, in either form that a `Profile` takes. The profile's
        own alphas are not read.

    Notes
    -----
    The law of a cycle is the average over prompts, each with the same number of cycles; a
    reply is one prompt's. Where all prompts have replies of the same length instead, hard ones
    take more cycles, and tokens per cycle are fewer: divide by `mean_reply_times`.

    Examples
    --------
    >>> Mixture([1, 1], [[0.5], [0.9]]).mean_alphas[0, 1].round(12).item()
    0.7
    """

    kind: ClassVar[str] = "mixture"
    weights: npt.ArrayLike | Floats
    alphas: npt.ArrayLike | Floats

    def __post_init__(self) -> None:
        weights = check_costs("weights", self.weights)
        if weights.ndim != 1 or weights.size == 0 or not np.all(weights > 0.0):
            raise ValueError(f"weights must be a vector of shares > 0, got {self.weights!r}")
        given = as_floats("alphas", self.alphas)
        if given.ndim not in (2, 3) or given.shape[0] != weights.size:
            raise ValueError(
                f"alphas must have one entry (a vector or a matrix) for each of the "
                f"{weights.size} weights, got shape {given.shape}"
            )
        matrices = np.stack([alpha_matrix("alphas", one) for one in given])
        total = float(weights.sum())
        if abs(total - 1.0) > 1e-12:  # else leave them: reading back must not move them
            weights = weights / total
        object.__setattr__(self, "weights", frozen(weights))
        object.__setattr__(self, "alphas", frozen(matrices))

    @property
    def mean_alphas(self) -> Floats:
        """Alphas averaged over prompts, shape (n + 1, n + 1)."""
        return np.asarray(np.tensordot(np.asarray(self.weights), np.asarray(self.alphas), axes=1))

    def check(self, n_drafts: int) -> None:
        """Raise ValueError unless the alphas are of models 0..n_drafts."""
        check_size("alphas", np.asarray(self.alphas), n_drafts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        weights, alphas = np.asarray(self.weights).tolist(), np.asarray(self.alphas).tolist()
        return {"kind": self.kind, "weights": weights, "alphas": alphas}


@dataclass(frozen=True, slots=True, eq=False)
class BetaMixture(Acceptance):
    r"""Each prompt has its own alphas, spread around the profile's as beta variables.

    Attributes
    ----------
    concentration : float
        :math:`\kappa` in [0.01, 1e6]. A prompt draws one uniform number u, and its rate of
        each pair is the u-quantile of Beta(:math:`\kappa \alpha_{ij}`,
        :math:`\kappa (1 - \alpha_{ij})`): mean :math:`\alpha_{ij}`, variance
        :math:`\alpha_{ij} (1 - \alpha_{ij}) / (\kappa + 1)`, and a prompt that is easy for one
        pair is as easy for all. Large: independent acceptance; small: all or nothing.

    Notes
    -----
    As for `Mixture`: the law of a cycle is the average over prompts, each with the same number
    of cycles; a reply is one prompt's, with the same alphas throughout.

    Examples
    --------
    >>> BetaMixture(4.0)
    BetaMixture(concentration=4.0)
    """

    kind: ClassVar[str] = "beta_mixture"
    concentration: float

    def __post_init__(self) -> None:
        value = check_number("concentration", self.concentration, least=0.01, most=1e6)
        object.__setattr__(self, "concentration", value)

    def check(self, n_drafts: int) -> None:
        """Fit every profile."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"kind": self.kind, "concentration": self.concentration}


@dataclass(frozen=True, slots=True, eq=False)
class Markov(Acceptance):
    r"""Tokens are easy or hard, and the next one tends to be as the last.

    Attributes
    ----------
    easy, hard : array_like, shape (n + 1, n + 1) or (n,)
        Acceptance rates of an easy and of a hard token, in either form that a `Profile`
        takes. The profile's own alphas are not read.
    to_easy, to_hard : float
        Chance that a token is easy given that the one before was hard, and the reverse, in
        [0, 1], not both 0 (for difficulty that never changes use `Mixture`).

    Notes
    -----
    Difficulty belongs to the place in the text: every reviewer's coins at that place use its
    rates, in whatever round, and are independent given the difficulty. The chain runs along
    the emitted text and goes on from one cycle to the next; a draft runs ahead of it from the
    last emitted token.

    The law of a cycle is that of a cycle picked at random in a long text: the token before it
    is easy or hard as it is at the starts of cycles (stationary for the chain watched there),
    not as it is at a random token. EWIF is then the long-run one. A reply starts after a token
    drawn from the stationary law of the chain itself, :math:`P(\mathrm{easy})` =
    to_easy / (to_easy + to_hard).

    Examples
    --------
    >>> Markov([0.9], [0.5], to_easy=0.1, to_hard=0.1).mean_alphas[0, 1].round(12).item()
    0.7
    """

    kind: ClassVar[str] = "markov"
    easy: npt.ArrayLike | Floats
    hard: npt.ArrayLike | Floats
    to_easy: float
    to_hard: float

    def __post_init__(self) -> None:
        for name in ("easy", "hard"):
            object.__setattr__(self, name, frozen(alpha_matrix(name, getattr(self, name))))
        for name in ("to_easy", "to_hard"):
            value = check_number(name, getattr(self, name), least=0.0, most=1.0)
            object.__setattr__(self, name, value)
        if np.shape(self.easy) != np.shape(self.hard):
            raise ValueError(
                f"easy and hard must be of the same models, got shapes {np.shape(self.easy)} and "
                f"{np.shape(self.hard)}"
            )
        if self.to_easy + self.to_hard == 0.0:
            raise ValueError("to_easy and to_hard are both 0, so difficulty lasts: use Mixture")

    @property
    def steps(self) -> Floats:
        """Transition matrix, shape (2, 2); state 0 is easy, 1 is hard."""
        return np.array([[1.0 - self.to_hard, self.to_hard], [self.to_easy, 1.0 - self.to_easy]])

    @property
    def stationary(self) -> Floats:
        """P(easy), P(hard) at a random token of a long text, shape (2,)."""
        return np.array([self.to_easy, self.to_hard]) / (self.to_easy + self.to_hard)

    @property
    def state_alphas(self) -> Floats:
        """Alphas of the two states, shape (2, n + 1, n + 1)."""
        return np.stack([np.asarray(self.easy), np.asarray(self.hard)])

    @property
    def mean_alphas(self) -> Floats:
        """Alphas at a random token, shape (n + 1, n + 1)."""
        return np.asarray(np.tensordot(self.stationary, self.state_alphas, axes=1))

    def check(self, n_drafts: int) -> None:
        """Raise ValueError unless the alphas are of models 0..n_drafts."""
        check_size("easy", np.asarray(self.easy), n_drafts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        easy, hard = np.asarray(self.easy).tolist(), np.asarray(self.hard).tolist()
        chain = {"to_easy": self.to_easy, "to_hard": self.to_hard}
        return {"kind": self.kind, "easy": easy, "hard": hard, **chain}


@dataclass(frozen=True, slots=True, eq=False)
class Trace(Acceptance):
    """Replay: the overlap measured at every place of some texts.

    Attributes
    ----------
    texts : sequence of mapping (i, j) -> array_like
        One mapping a text: ``texts[t][i, j][m]`` is the overlap of models i and j at its
        token m, in [0, 1]; all arrays of a text have its length, >= 1. A pair not named keeps
        its alpha.

    Notes
    -----
    Every reviewer's coin at a place of the text has the overlap measured there, in whatever
    cycle or round; coins are independent. The law of a cycle is the average over all cycles
    that the texts take, each text once. A cycle emits at most what is left of the text; its
    drafting does not know the end, beyond which the last overlaps hold. So expected tokens are
    all tokens of the texts over their expected cycles.

    Examples
    --------
    >>> Trace([{(0, 1): [0.9, 0.2, 0.7]}]).lengths
    (3,)
    """

    kind: ClassVar[str] = "trace"
    texts: Sequence[Mapping[Pair, npt.ArrayLike | Floats]]

    def __post_init__(self) -> None:
        if isinstance(self.texts, Mapping) or not isinstance(self.texts, Sequence):
            raise TypeError(
                f"texts must be a sequence of mappings (i, j) -> overlaps, got {self.texts!r}: "
                f"write [overlaps] for one text"
            )
        read = tuple(checked_pairs("texts", one, rates_along("overlaps")) for one in self.texts)
        for text in read:
            lengths = {np.size(overlaps) for overlaps in text.values()}
            if len(lengths) != 1:
                raise ValueError(
                    f"all overlaps of a text must have its length, got lengths {sorted(lengths)}"
                )
        if not read:
            raise ValueError("texts must hold at least one text, got none")
        object.__setattr__(self, "texts", read)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each text."""
        return tuple(np.size(next(iter(text.values()))) for text in self.texts)

    def check(self, n_drafts: int) -> None:
        """Raise ValueError if a pair names a draft beyond `n_drafts`."""
        for text in self.texts:
            check_pairs("texts", text, n_drafts)

    def overlaps(self, text: int, alphas: Floats) -> Floats:
        """Overlaps along one text, shape (length, n + 1, n + 1); `alphas` where not measured."""
        table = np.repeat(alphas[None], self.lengths[text], axis=0)
        for (reviewer, draft), measured in self.texts[text].items():
            table[:, reviewer, draft] = measured
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"kind": self.kind, "texts": [pairs_to_json(text) for text in self.texts]}
