"""Search under acceptance models that are not independent: candidates, then their neighbours.

The compiled search knows independent acceptance only. So it searches some profiles with
independent acceptance that stand in for the model; what it finds is compared, and improved
neighbour by neighbour, by the exact law under the model itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from cscalc._checks import Floats
from cscalc._search import most_tokens
from cscalc._search_neighbours import neighbours, restructured
from cscalc.acceptance import BetaMixture, ByPosition, Conditional, Markov, Mixture, Trace
from cscalc.cascade import Cascade, Review, Segment, max_length
from cscalc.profile import Profile
from cscalc.theory.law import ewif

FEW = 4  # stand-ins taken one for each kind of prompt, or text, at most
LAWS = 20_000  # exact laws of about 20 us that a search may compute; fewer of longer ones
LEAST_LAWS = 2_000
NODES = 24  # kinds of prompts that stand for a beta mixture while it is searched
QUANTILES = np.array([0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0])
PROMISING = 0.9  # of the best: a new structure that is refined
GAIN = 1.0 + 1e-9  # a neighbour must be better by more than rounding


def stand_ins(profile: Profile) -> list[Profile]:
    """Profiles with independent acceptance whose best cascades may be good for `profile`.

    Always the one of mean rates; the others are extremes of the model: first and last
    positions, tokens kept by an inner review, each kind of prompt, easy and hard tokens, each
    text.
    """
    alphas = np.array(profile.alphas)
    model = profile.acceptance
    found: list[Floats]
    if isinstance(model, Mixture):
        heavy = np.argsort(-np.asarray(model.weights), kind="stable")[:FEW]
        found = [model.mean_alphas, *np.asarray(model.alphas)[heavy]]
    elif isinstance(model, Markov):
        found = [model.mean_alphas, *model.state_alphas]
    elif isinstance(model, BetaMixture):
        found = [alphas, *(_quantile(alphas, model.concentration, u) for u in (0.25, 0.75))]
    elif isinstance(model, Trace):
        texts = [model.overlaps(text, alphas) for text in range(len(model.lengths))]
        found = [np.concatenate(texts).mean(axis=0), *(one.mean(axis=0) for one in texts[:FEW])]
    elif isinstance(model, ByPosition):
        found = [alphas, alphas.copy(), alphas.copy(), alphas.copy()]
        for pair, given in model.rates.items():
            rates = np.asarray(given)
            found[1][pair], found[2][pair], found[3][pair] = rates[0], rates[-1], rates.mean()
    elif isinstance(model, Conditional):
        found = [alphas, alphas.copy(), alphas.copy()]
        for other, named in zip(found[1:], (model.kept, model.corrected), strict=True):
            for pair, rate in named.items():
                other[pair] = rate
    else:
        found = [alphas]
    distinct = {one.tobytes(): one for one in found}
    return [
        Profile(one, profile.costs, one_shot=profile.one_shot, verify=dict(profile.verify))
        for one in distinct.values()
    ]


def ceilings(profile: Profile) -> tuple[list[Profile], Floats]:
    """Independent profiles whose rates the model never exceeds, and how often each holds.

    One for each kind of prompt of a mixture, where the rates are exact; ranges of quantiles of
    a beta mixture, each at its upper end; else one, of the largest rates anywhere.
    """
    alphas = np.array(profile.alphas)
    model = profile.acceptance
    weights = np.ones(1)
    if isinstance(model, Mixture):
        found, weights = list(np.asarray(model.alphas)), np.asarray(model.weights)
    elif isinstance(model, BetaMixture):
        found = [_quantile(alphas, model.concentration, u) for u in QUANTILES[1:]]
        weights = np.diff(QUANTILES)
    elif isinstance(model, Markov):
        found = [np.max(model.state_alphas, axis=0)]
    elif isinstance(model, Trace):
        texts = [model.overlaps(text, alphas) for text in range(len(model.lengths))]
        found = [np.max(np.concatenate(texts), axis=0)]
    else:
        found = [alphas]
        if isinstance(model, ByPosition):
            for pair, given in model.rates.items():
                found[0][pair] = np.max(given)
        elif isinstance(model, Conditional):
            for named in (model.kept, model.corrected):
                for pair, rate in named.items():
                    found[0][pair] = max(found[0][pair], rate)
    return [
        Profile(one, profile.costs, one_shot=profile.one_shot, verify=dict(profile.verify))
        for one in found
    ], weights


def _quantile(alphas: Floats, concentration: float, u: float) -> Floats:
    """Rates of the prompt at quantile u of a beta mixture."""
    from scipy.special import betaincinv

    inside = (alphas > 0.0) & (alphas < 1.0)
    found = alphas.copy()
    a = concentration * alphas[inside]
    found[inside] = np.clip(betaincinv(a, concentration - a, u), 0.0, 1.0)
    return found


@dataclass(slots=True)
class Judge:
    """EWIF of cascades by the exact law, each computed once; 0 for those outside the limits."""

    profile: Profile
    max_length: int
    left: int  # laws that may still be computed
    known: dict[Cascade, float] = field(default_factory=dict)

    @classmethod
    def of(cls, profile: Profile, max_length: int) -> "Judge":
        """Judge by the profile's own acceptance model; a beta mixture by a sum over prompts."""
        model, laws = profile.acceptance, LAWS
        if isinstance(model, Mixture):
            laws = LAWS // np.size(model.weights)
        if isinstance(model, BetaMixture):
            nodes, weights = np.polynomial.legendre.leggauss(NODES)
            alphas = np.array(profile.alphas)
            kinds = [_quantile(alphas, model.concentration, (1.0 + x) / 2.0) for x in nodes]
            profile = Profile(
                alphas, profile.costs, one_shot=profile.one_shot, verify=dict(profile.verify),
                acceptance=Mixture(weights, kinds),
            )  # fmt: skip
            laws = LAWS // 8
        elif isinstance(model, Markov):
            laws = LAWS // 10
        elif isinstance(model, Trace):
            laws = LAWS * 20 // sum(model.lengths)
        return cls(profile, max_length, min(LAWS, max(LEAST_LAWS, laws)))

    def score(self, cascade: Cascade) -> float:
        """EWIF, or 0 where `cascade` is not to be considered."""
        if cascade not in self.known:
            fits = self.left > 0 and self._fits(0, cascade.drafts)
            self.left -= fits
            self.known[cascade] = ewif(cascade, self.profile) if fits else 0.0
        return self.known[cascade]

    def _fits(self, reviewer: int, drafts: tuple[Segment, ...]) -> bool:
        most = most_tokens(self.max_length)
        known = self.profile.max_positions(reviewer)
        if known is not None:
            most = min(most, known - 1)
        return max_length(drafts) <= most and all(
            self._fits(one.model, one.drafts) for one in drafts if isinstance(one, Review)
        )

    def ranked(self, candidates: Iterable[Cascade]) -> list[Cascade]:
        """Those within the limits, best first; ties in the order of their text."""
        fit = [one for one in sorted(set(candidates), key=str) if self.score(one) > 0.0]
        return sorted(fit, key=lambda one: -self.score(one))

    def climbed(self, cascade: Cascade, *, pairs: bool = True) -> Cascade:
        """Move to better neighbours until none is better or the budget is used up."""
        best, improved = cascade, self.left > 0
        while improved and self.left > 0:
            improved = False
            for one in neighbours(best, self.max_length, pairs=pairs):
                if self.score(one) > self.score(best) * GAIN:
                    best, improved = one, True
        return best

    def improved(self, cascade: Cascade, depth: int) -> Cascade:
        """Climb, change the structure and climb again until neither helps."""
        best = self.climbed(cascade, pairs=False)
        before: Cascade | None = None
        while best != before:
            before = best
            best = self._restructured(best, depth)
            if best == before:
                best = self.climbed(best)
        return best

    def _restructured(self, best: Cascade, depth: int) -> Cascade:
        """The first better cascade that a change of structure leads to, or `best`."""
        profile = self.profile
        changed = restructured(best, profile.n_drafts, profile.one_shot, depth, self.max_length)
        for one in dict.fromkeys(changed):
            if self.left <= 0:
                break
            if self.score(one) >= PROMISING * self.score(best):
                refined = self.climbed(one, pairs=False)
                if self.score(refined) > self.score(best) * GAIN:
                    return refined
        return best

    def shortened(self, cascade: Cascade, tolerance: float) -> Cascade:
        """The shortest neighbours of neighbours that stay within `tolerance` of `cascade`."""
        floor = self.score(cascade) * (1.0 - tolerance)
        shorter: Cascade | None = cascade
        while shorter is not None:
            cascade = shorter
            near = (one for one in neighbours(cascade, self.max_length) if _less(one, cascade))
            shorter = next((one for one in near if self.score(one) >= floor), None)
        return cascade


def _less(one: Cascade, other: Cascade) -> bool:
    return (len(one.models), one.max_length) < (len(other.models), other.max_length)
