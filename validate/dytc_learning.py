"""What a router learns from each cycle, and what it then expects of every draft."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from cscalc._checks import check_choice, check_int, check_number
from cscalc.cascade import Draft
from cscalc.profile import Profile
from validate.dytc_estimates import (
    Acceptance,
    Adaptive,
    Confidence,
    PassCosts,
    confidence_bin,
    match_bin,
)
from validate.dytc_rule import Candidate
from validate.sampling import Law
from validate.tree_decoder import Read, TreeDecoder, Verdict
from validate.tree_verify import likeliest
from validate.verify import accept_probability

Objective = Literal["ratio", "printed"]


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """Numbers of DyTC; the defaults are the paper's where it gives them.

    Attributes
    ----------
    objective : {"ratio", "printed"}
        What a step maximises: tokens over seconds of the whole cycle after it, or Eq. 5.
    max_size : int
        Most nodes of a tree, root included, >= 2.
    max_depth : int
        Most tokens that can be accepted in a cycle, >= 1.
    t_min : float
        The printed objective's stop: bottom draft's tokens per target pass below this.
    width : int
        Most children of a node (the paper's P), >= 1.
    estimate : {"adaptive", "ema"}
        Acceptance rates from all that was seen since they last changed, or by Eq. 4: the first
        drafted token of a cycle only, with lambda `keep` and H `window`.
    keep, window : float, int
        Of "ema".
    refine : bool
        Path acceptance by each token's own confidence, once it is drafted.
    audit : float
        Share of the time that may go into looking what idle drafts would have said, for each
        draft; 0: never. In [0, 0.5].

    Examples
    --------
    >>> RouterSettings(objective="printed").t_min
    1.1
    """

    objective: Objective = "ratio"
    max_size: int = 32
    max_depth: int = 16
    t_min: float = 1.1
    width: int = 2
    estimate: Literal["adaptive", "ema"] = "adaptive"
    keep: float = 0.7
    window: int = 20
    refine: bool = True
    audit: float = 0.005

    def __post_init__(self) -> None:
        check_choice("objective", self.objective, ("ratio", "printed"))
        check_choice("estimate", self.estimate, ("adaptive", "ema"))
        check_int("max_size", self.max_size, least=2)
        check_int("max_depth", self.max_depth, least=1)
        check_int("width", self.width, least=1)
        check_int("window", self.window, least=1)
        check_number("t_min", self.t_min, least=0.0)
        check_number("keep", self.keep, 0.0, 1.0)
        check_number("audit", self.audit, 0.0, 0.5)


class Learner:
    """Estimates of acceptance and seconds, kept up from cycle to cycle; an `Outlook`.

    Parameters
    ----------
    candidates : iterable of Candidate
    settings : RouterSettings
    profile : Profile or None
        Where the estimates start.
    """

    def __init__(
        self, candidates: Iterable[Candidate], settings: RouterSettings, profile: Profile | None
    ) -> None:
        self.settings = settings
        pairs = {(c.model, c.inner) for c in candidates if c.inner is not None}
        self.used = sorted({c.model for c in candidates} | {inner for _, inner in pairs})
        cost, alpha = _priors(self.used, {reviewer for reviewer, _ in pairs}, profile)
        self.costs = PassCosts(cost)
        self.rates = {m: self._estimate(alpha[0, m]) for m in self.used}
        self._second = {m: Adaptive(0.3) for m in self.used}
        self._inner = {pair: self._estimate(alpha[pair]) for pair in sorted(pairs)}
        self._found = {m: Acceptance(1.0, 0.9) for m in self.used}
        self._sure = {m: Confidence() for m in self.used}
        self._idle = dict.fromkeys(self.used, 0.0)  # seconds since a model was last compared
        self._serial = -1  # of the text
        self.decoder: TreeDecoder

    def _estimate(self, prior: float) -> Acceptance | Adaptive:
        if self.settings.estimate == "adaptive":
            return Adaptive(prior)
        return Acceptance(prior, self.settings.keep, self.settings.window)

    # What the step rule asks.

    def rate(self, model: int) -> float:
        """Acceptance rate of a draft's tokens by the target."""
        return self.rates[model].rate

    def second(self, model: int) -> float:
        """Chance that the target takes a runner-up, given that it refuses those before it."""
        return self._second[model].rate

    def inner_rate(self, reviewer: int, model: int) -> float:
        """Acceptance rate of a draft's tokens by an inner reviewer."""
        return self._inner[reviewer, model].rate

    def found(self, model: int) -> float:
        """Chance that a one-shot draft proposes anything; 1 for others."""
        return self._found[model].rate

    def one_shot(self, model: int) -> bool:
        """Whether one call gives all tokens."""
        return model in self.decoder.models.one_shot

    def price(self, model: int, positions: int) -> float:
        """Seconds of a pass."""
        return self.costs.predict(model, positions, len(self.decoder.text))

    def token_rate(self, model: int, parent: int, token: int) -> float:
        """Acceptance of one token that is drafted already, by how sure of it the draft is."""
        overall = self.rate(model)
        if not self.settings.refine:
            return overall
        if self.decoder.knows(model, parent):
            sure = self.decoder.confidence(model, parent, token)
            self._bins[parent, model] = confidence_bin(sure)
        if (parent, model) not in self._bins:  # inside a looked-up run
            return overall
        return self._sure[model].rate(self._bins[parent, model], overall)

    # What the router tells.

    def begin(self, decoder: TreeDecoder) -> float:
        """Start a cycle, with a look at idle drafts where that is cheap; seconds it took."""
        self.decoder = decoder
        if decoder.serial != self._serial:  # a new text
            self._serial = decoder.serial
            self._probs: dict[int, float] = {}  # place in the text -> target's probability there
            self._asked: dict[tuple[int, int], int] = {}  # place, one-shot model -> its token
        self._bins: dict[tuple[int, int], int] = {}  # node, model -> bin of its first token there
        self._first: dict[int, tuple[int, int | None]] = {}
        self._judged: set[tuple[int, int]] = set()
        if self.settings.audit:
            for model in self.used:
                self._audit(model)
        return sum(one.seconds for one in decoder.cycle_passes)

    def drafted(self, model: int, parent: int) -> None:
        """Note where a model drafts in this cycle; the first place counts."""
        self._first.setdefault(model, (parent, None))

    def looked_up(self, model: int, parent: int, token: int | None) -> None:
        """Note what a one-shot draft proposed first after `parent`; None: nothing."""
        self._found[model].see(float(token is not None))
        if token is None:
            return
        self._first.setdefault(model, (parent, token))
        if self.settings.refine:
            text = [*self.decoder.text, *self.decoder.tree.path(parent)]
            self._bins[parent, model] = match_bin(text, token)

    def reviewed(self, reviewer: int, model: int, proposals: int, accepted: int) -> None:
        """Note one round of an inner review."""
        if self.one_shot(model):
            self._found[model].see(float(proposals > 0))
        if proposals:
            self._judged.add((reviewer, model))
            self._inner[reviewer, model].see(float(accepted > 0))

    def _audit(self, model: int) -> None:
        """Look what a draft would have said, if it was idle for so long that this is cheap."""
        decoder = self.decoder
        lookup = self.one_shot(model)
        missed = 1 if lookup else decoder.missed(model)
        if missed < 1 or self.price(model, missed) > self.settings.audit * self._idle[model]:
            return
        self._idle[model] = 0.0
        if lookup:
            found = decoder.call(0, Draft(model, 1))
            self.looked_up(model, 0, found[0].token if found else None)
            if found:
                self._asked[len(decoder.text), model] = found[0].token
            return
        place, reads = decoder.catch_up(model)
        for at, read in enumerate(reads, start=place):
            if at in self._probs:
                share = self._share(read, decoder.text[at])
                if decoder.children != "top":
                    share = min(1.0, share / self._probs[at])
                self.rates[model].see(share)
                first, *others = likeliest(read.logits, 2)
                if others and decoder.text[at] != first:
                    self._second[model].see(float(decoder.text[at] == others[0]))
            for pair, estimate in self._inner.items():
                if pair[0] == model and (at, pair[1]) in self._asked:
                    estimate.see(self._share(read, self._asked[at, pair[1]]))

    def _share(self, read: Read, token: int) -> float:
        """Chance that a model which says `read` writes `token`."""
        if self.decoder.children == "top":
            return float(token == likeliest(read.logits, 1)[0])
        return read.law.prob(token)

    def learn(self, verdict: Verdict) -> None:
        """Take a cycle into the estimates."""
        decoder = self.decoder
        for one in verdict.passes:
            self.costs.see(*one)
        start = len(decoder.text) - len(verdict.path)
        for i, node in enumerate(verdict.path):
            self._probs[start + i] = verdict.laws[node].prob(decoder.text[start + i])
        passed = sum(one.seconds for one in verdict.passes)
        for model in self.used:
            self._idle[model] += passed
            parent, token = self._first.get(model, (-1, None))
            if parent not in verdict.laws:  # nothing drafted, or it hung below a refused token
                continue
            self._idle[model] = 0.0
            if token is not None:
                self.rates[model].see(verdict.laws[parent].prob(token))
            for node in [parent] if self.settings.estimate == "ema" else verdict.path:
                if decoder.knows(model, node):
                    self._compare(model, verdict.laws[node], decoder.read(model, [node])[0])
        self._learn_inner()
        self._learn_confidence(verdict)
        del self.decoder  # it holds caches

    def _compare(self, model: int, own: Law, read: Read) -> None:
        """Take the acceptance of a draft's first and second choice into the estimates."""
        first, *others = (own.prob(token) for token in likeliest(read.logits, 2))
        if self.decoder.children == "top":
            self.rates[model].see(first)
        else:
            self.rates[model].see(overlap(own, read.law))
        if others and first < 1.0:
            self._second[model].see(min(1.0, others[0] / (1.0 - first)))

    def _learn_inner(self) -> None:
        """Inner acceptance where reviewer and draft happen to know the same node."""
        decoder = self.decoder
        for (reviewer, model), estimate in self._inner.items():
            parent, token = self._first.get(model, (-1, None))
            if (reviewer, model) in self._judged or not decoder.knows(reviewer, parent):
                continue
            read = decoder.read(reviewer, [parent])[0]
            if token is not None:
                estimate.see(self._share(read, token))
            elif decoder.knows(model, parent):
                other = decoder.read(model, [parent])[0]
                if decoder.children == "top":
                    estimate.see(self._share(read, likeliest(other.logits, 1)[0]))
                else:
                    estimate.see(overlap(read.law, other.law))

    def _learn_confidence(self, verdict: Verdict) -> None:
        tree = self.decoder.tree
        for (parent, model), bin_ in self._bins.items():
            if parent in verdict.laws:
                for offer in tree.offers[parent]:
                    if offer.model == model:
                        token, own = tree.tokens[offer.node], verdict.laws[parent]
                        self._sure[model].see(bin_, accept_probability(own, offer.law, token))
                        break


def overlap(one: Law, other: Law) -> float:
    """Chance that a token drawn from one law is kept by a reviewer with the other.

    Examples
    --------
    >>> from validate.sampling import PointLaw
    >>> overlap(PointLaw(1, 3), PointLaw(1, 3)), overlap(PointLaw(1, 3), PointLaw(2, 3))
    (1.0, 0.0)
    """
    both = torch.minimum(one.dense(), other.dense().to(one.dense().device))
    return min(1.0, float(both.sum()))


def _priors(
    used: list[int], reviewers: set[int], profile: Profile | None
) -> tuple[dict[int, float], Mapping[tuple[int, int], float]]:
    """Costs by draft, and acceptance rates by pair, to start from."""
    if profile is not None:
        if used[-1] > profile.n_drafts:
            raise ValueError(
                f"the candidates use model {used[-1]}, but the profile has drafts "
                f"1..{profile.n_drafts}: measure all of them"
            )
        pairs = {(i, j): float(profile.alphas[i, j]) for j in used for i in range(j)}
        return {m: profile.cost(m) for m in used}, pairs
    bottom = used[-1] if len(used) > 1 and used[-1] not in reviewers else 0
    costs = {m: 0.01 if m == bottom else 0.3 for m in used}
    return costs, {(i, j): 0.5 for j in used for i in range(j)}
