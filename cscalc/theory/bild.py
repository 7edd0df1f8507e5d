"""Big-little decoding's deferral rules, and the distances they measure."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_choice, check_number
from cscalc.theory._laws import check_pair, total_variation
from cscalc.theory.deferral import Bools, ContextRule

Distance = Literal["tv", "kl", "cross_entropy"]
DISTANCES = ("tv", "kl", "cross_entropy")


@dataclass(frozen=True, slots=True)
class BiLD(ContextRule):
    """Big-little decoding: defer iff max q < fallback or d(q, p) > rollback.

    The law of one position once the target has seen it: the draft falls back where it is unsure,
    and the target, reading back, replaces what is too far from its own. Kim et al., NeurIPS
    2023, arXiv:2302.07863.

    Attributes
    ----------
    fallback : float
        In [0, 1]; 0 never falls back.
    rollback : float
        Largest distance that is kept, >= 0.
    distance : {"tv", "kl", "cross_entropy"}
        Total variation; KL(p || q) in nats; -log q(argmax p).

    Examples
    --------
    >>> bool(BiLD(0.5, 0.2).defer([0.3, 0.5, 0.2], [0.6, 0.3, 0.1]))
    True
    """

    fallback: float
    rollback: float
    distance: Distance = "cross_entropy"

    def __post_init__(self) -> None:
        check_number("fallback", self.fallback, 0.0, 1.0)
        check_number("rollback", self.rollback, 0.0)
        check_choice("distance", self.distance, DISTANCES)

    def _keep(self, p: Floats, q: Floats) -> Bools:
        near = law_distance(p, q, self.distance) <= self.rollback
        return np.asarray((q.max(axis=-1) >= self.fallback) & near)


@dataclass(frozen=True, slots=True)
class BiLDStar(ContextRule):
    """BiLD run speculatively: pi = q iff d(q, p) <= threshold, else p.

    Attributes
    ----------
    threshold : float
        >= 0.
    distance : {"tv", "kl", "cross_entropy"}
        As in `BiLD`.

    Examples
    --------
    >>> bool(BiLDStar(0.4).defer([0.3, 0.5, 0.2], [0.6, 0.3, 0.1]))
    False
    """

    threshold: float
    distance: Distance = "tv"

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, 0.0)
        check_choice("distance", self.distance, DISTANCES)

    def _keep(self, p: Floats, q: Floats) -> Bools:
        return np.asarray(law_distance(p, q, self.distance) <= self.threshold)


def law_distance(target: npt.ArrayLike, draft: npt.ArrayLike, distance: Distance = "tv") -> Floats:
    """Distance between two laws, as BiLD's rules measure it.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    distance : {"tv", "kl", "cross_entropy"}
        Total variation, in [0, 1]; KL(p || q), nats; -log q(argmax p), nats.

    Returns
    -------
    ndarray, shape (...), float64
        Infinite where q misses mass that the distance asks for.

    Raises
    ------
    ValueError
        If a law is not a law or `distance` is unknown.

    Examples
    --------
    >>> float(law_distance([0.3, 0.5, 0.2], [0.6, 0.3, 0.1]).round(12))
    0.3
    """
    p, q = check_pair(target, draft)
    check_choice("distance", distance, DISTANCES)
    if distance == "tv":
        return total_variation(p, q)
    logs = np.where(q > 0.0, np.log(np.where(q > 0.0, q, 1.0)), -np.inf)
    if distance == "cross_entropy":
        best = p.argmax(axis=-1)[..., None]
        return np.asarray(-np.take_along_axis(logs, best, axis=-1)[..., 0])
    some = p > 0.0
    terms = np.where(some, p, 0.0) * (np.log(np.where(some, p, 1.0)) - np.where(some, logs, 0.0))
    return np.asarray(np.maximum(0.0, terms.sum(axis=-1)))
