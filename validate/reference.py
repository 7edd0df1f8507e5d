"""The reference decoder: any cascade, no caches, written to be read and to be enumerated.

Each function takes a `chance` first and hashable arguments, so that `validate.lossless` can
compute its exact law. A proposal is a token and the name of the law that it follows, so laws are
looked up, not carried.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from cscalc.cascade import Cascade, Draft, Review, Segment, wants_call
from validate.chance import Chance
from validate.rules import Rules, exact, mixed, mixed_plain
from validate.sampling import Law, PointLaw
from validate.verify import accept_probability, correction, lenient_law

Tokens = tuple[int, ...]
LawOf = Callable[[int, Tokens], Law]  # law of model's next token after these tokens
OneShot = Callable[[int, Tokens, int], Tokens]  # model's proposals after these tokens


@dataclass(frozen=True, slots=True)
class Blend:
    """The law that `model` makes of a draft's law: "defer", "forgive", or the "same" token.

    "same" is greedy lenience: the draft's token, on which all mass lies.
    """

    how: str
    model: int
    draft: "Source"


Source = int | Blend  # a model's own law, or what a rule makes of two


@dataclass(frozen=True, slots=True)
class Proposal:
    """A token in front of a reviewer, and whose law it follows."""

    token: int
    source: Source


Proposals = tuple[Proposal, ...]


@dataclass(frozen=True, eq=False)
class Reference:
    """A cascade with the laws of its models.

    Attributes
    ----------
    cascade : Cascade
    law_of : callable (model, tokens) -> Law
        Next-token law of an autoregressive model, as decoded from (temperature applied).
    one_shot : dict of model -> callable (tokens, length) -> tuple of tokens
        Deterministic one-shot drafts; an empty tuple means no proposal.
    rules : Rules
        Lenient and deferring reviewers, drafts that stop when unsure.
    plain_of : callable (model, tokens) -> Law, optional
        Law at temperature 1, not truncated; rules that compare such laws need it.
    """

    cascade: Cascade
    law_of: LawOf
    one_shot: dict[int, Callable[[Tokens, int], Tokens]]
    rules: Rules = field(default_factory=Rules)
    plain_of: LawOf | None = None

    def output_law(self, text: Tokens) -> Law:
        """Law of the next token of the output: the target's, or what its deferral makes of it."""
        if 0 not in self.rules.deferral:
            return self.law_of(0, text)
        return self.law(self.own_source(0), text)

    def cycle(self, chance: Chance, text: Tokens) -> Tokens:
        """Tokens that one cycle emits after `text`."""
        proposals = chance.run(self.segments, 0, self.cascade.drafts, text)
        return tuple(p.token for p in chance.run(self.review, 0, text, proposals))

    def tokens(self, chance: Chance, text: Tokens, n_tokens: int) -> Tokens:
        """First `n_tokens` tokens after `text`."""
        emitted: Tokens = ()
        while len(emitted) < n_tokens:
            emitted += chance.run(self.cycle, text + emitted)
        return emitted[:n_tokens]

    def segments(
        self, chance: Chance, reviewer: int, drafts: tuple[Segment, ...], text: Tokens
    ) -> Proposals:
        """Proposals of all segments in front of `reviewer`."""
        proposals: Proposals = ()
        for segment in drafts:
            calls = 0
            while wants_call(segment, calls, len(proposals)):
                before = len(proposals)
                after = text + tuple(p.token for p in proposals)
                proposals += chance.run(self.call, segment, after)
                calls += 1
                if len(proposals) == before:
                    break  # a one-shot draft that has nothing to propose
                *earlier, last = proposals
                if self.unsure(segment, last, text + tuple(p.token for p in earlier)):
                    break
        return proposals

    def call(self, chance: Chance, segment: Segment, text: Tokens) -> Proposals:
        """Proposals of one draft, or of one round of a review."""
        if isinstance(segment, Review):
            inner = chance.run(self.segments, segment.model, segment.drafts, text)
            emitted: Proposals = chance.run(self.review, segment.model, text, inner)
            return emitted
        if segment.model in self.one_shot:
            found = self.one_shot[segment.model](text, segment.length)
            return tuple(Proposal(token, segment.model) for token in found)
        proposals: Proposals = ()
        for _ in range(segment.length):
            token = chance.draw(self.law_of(segment.model, text))
            proposals += (Proposal(token, segment.model),)
            if self.unsure(segment, proposals[-1], text):
                break
            text += (token,)
        return proposals

    def review(
        self, chance: Chance, reviewer: int, text: Tokens, proposals: Proposals
    ) -> Proposals:
        """Longest accepted prefix and one token of the reviewer's own."""
        source = self.own_source(reviewer)
        kept: Proposals = ()
        for proposal in proposals:
            target = self.law(source, text)
            draft = self.proposal_law(proposal, text, target.vocab_size)
            follows, factor = source, self.factor(reviewer, proposal)
            if factor > 1.0 and isinstance(target, PointLaw):
                if self.forgiven(reviewer, proposal, text, factor):
                    follows = Blend("same", reviewer, proposal.source)
                    target = PointLaw(proposal.token, target.vocab_size, target.dtype)
                factor = 1.0
            elif factor > 1.0:
                follows = Blend("forgive", reviewer, proposal.source)
            if not chance.coin(accept_probability(target, draft, proposal.token, factor)):
                token = chance.draw(correction(target, draft, factor))
                return (*kept, Proposal(token, follows))
            kept += (Proposal(proposal.token, follows),)
            text += (proposal.token,)
        return (*kept, Proposal(chance.draw(self.law(source, text)), source))

    def own_source(self, model: int) -> Source:
        """What the model's tokens follow where it reviews and lenience plays no part."""
        if model not in self.rules.deferral:
            return model
        front = self.rules.fronts(self.cascade)[model]
        drafts = front.model if isinstance(front, Draft) else self.own_source(front.model)
        return Blend("defer", model, drafts)

    def law(self, source: Source, text: Tokens) -> Law:
        """Law of the next token after `text`."""
        if not isinstance(source, Blend):
            return self.law_of(source, text)
        own, draft = self.law_of(source.model, text), self.law(source.draft, text)
        if source.how == "forgive":
            return lenient_law(own, draft, self.rules.lenience[source.model].factor)
        own, draft = exact(own), exact(draft)
        plain, draft_plain = self.plain(source.model, text), self.plain(source.draft, text)
        return mixed(self.rules.deferral[source.model], own, draft, plain, draft_plain)

    def plain(self, source: Source, text: Tokens) -> Tensor:
        """Law of the next token at temperature 1, shape (vocab_size,)."""
        if self.plain_of is None:
            raise ValueError("these rules compare laws at temperature 1: give plain_of")
        if not isinstance(source, Blend) or source.how == "same":
            model = source.model if isinstance(source, Blend) else source
            law = self.plain_of(model, text)
            return (exact(law) if self.rules.deferral else law).dense()
        rule = self.rules.deferral[source.model]
        return mixed_plain(rule, self.plain(source.model, text), self.plain(source.draft, text))

    def factor(self, reviewer: int, proposal: Proposal) -> float:
        """Factor of the reviewer's lenience towards a proposal; one-shot drafts get none."""
        if reviewer not in self.rules.lenience or proposal.source in self.one_shot:
            return 1.0
        return self.rules.lenience[reviewer].factor

    def forgiven(self, reviewer: int, proposal: Proposal, text: Tokens, factor: float) -> bool:
        """Greedy lenience (CS Drafting, section 3): q <= f p at the proposal, unscaled laws."""
        q = float(self.plain(proposal.source, text)[proposal.token])
        return q <= factor * float(self.plain(reviewer, text)[proposal.token])

    def unsure(self, segment: Segment, last: Proposal, text: Tokens) -> bool:
        """Whether a draft proposes no more after `last`, which follows `text`."""
        least = self.rules.confidence.get(segment.model)
        if least is None or isinstance(segment, Review):
            return False
        return float(self.plain(segment.model, text)[last.token]) < least

    def proposal_law(self, proposal: Proposal, text: Tokens, vocab_size: int) -> Law:
        """Law that the proposal followed: a point for a one-shot draft."""
        source = proposal.source
        if source in self.one_shot or (isinstance(source, Blend) and source.how == "same"):
            return PointLaw(proposal.token, vocab_size)
        law = self.law(source, text)
        return exact(law) if self.rules.deferral else law
