"""The reference decoder: any cascade, no caches, written to be read and to be enumerated.

Each function takes a `chance` first and hashable arguments, so that `validate.lossless` can
compute its exact law. A proposal is a token and the model whose law it follows, so laws are
looked up, not carried.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cscalc.cascade import Cascade, Review, Segment, wants_call
from validate.chance import Chance
from validate.sampling import Law, PointLaw
from validate.verify import accept_probability, correction

Tokens = tuple[int, ...]
LawOf = Callable[[int, Tokens], Law]  # law of model's next token after these tokens
OneShot = Callable[[int, Tokens, int], Tokens]  # model's proposals after these tokens


@dataclass(frozen=True, slots=True)
class Proposal:
    """A token in front of a reviewer, and the model whose law it was drawn from."""

    token: int
    model: int


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
    """

    cascade: Cascade
    law_of: LawOf
    one_shot: dict[int, Callable[[Tokens, int], Tokens]]

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
                if len(proposals) == before:  # a one-shot draft that has nothing to propose
                    break
        return proposals

    def call(self, chance: Chance, segment: Segment, text: Tokens) -> Proposals:
        """Proposals of one draft, or of one round of a review."""
        if isinstance(segment, Review):
            inner = chance.run(self.segments, segment.model, segment.drafts, text)
            return chance.run(self.review, segment.model, text, inner)
        if segment.model in self.one_shot:
            found = self.one_shot[segment.model](text, segment.length)
            return tuple(Proposal(token, segment.model) for token in found)
        proposals: Proposals = ()
        for _ in range(segment.length):
            token = chance.draw(self.law_of(segment.model, text))
            proposals += (Proposal(token, segment.model),)
            text += (token,)
        return proposals

    def review(
        self, chance: Chance, reviewer: int, text: Tokens, proposals: Proposals
    ) -> Proposals:
        """Longest accepted prefix and one token of the reviewer's own."""
        kept: Proposals = ()
        for proposal in proposals:
            target = self.law_of(reviewer, text)
            draft = self.proposal_law(proposal, text, target.vocab_size)
            if not chance.coin(accept_probability(target, draft, proposal.token)):
                token = chance.draw(correction(target, draft))
                return (*kept, Proposal(token, reviewer))
            kept += (Proposal(proposal.token, reviewer),)
            text += (proposal.token,)
        return (*kept, Proposal(chance.draw(self.law_of(reviewer, text)), reviewer))

    def proposal_law(self, proposal: Proposal, text: Tokens, vocab_size: int) -> Law:
        """Law that the proposal followed: a point for a one-shot draft."""
        if proposal.model in self.one_shot:
            return PointLaw(proposal.token, vocab_size)
        return self.law_of(proposal.model, text)
