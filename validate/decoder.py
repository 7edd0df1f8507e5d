"""The cascade decoder as a coroutine: it asks for passes, is told logits, and emits tokens.

It owns the text and knows how much of it each model has read, but runs no model itself. So one
text, or a batch of texts that advance each by its own count, is a matter of who answers.
"""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from cscalc.cascade import Cascade, Draft, Review, Segment, walk, wants_call
from validate.chance import Chance
from validate.models import Models
from validate.rules import Rules, mixed, mixed_plain
from validate.sampling import Law, PointLaw, Sampling
from validate.verify import accept_probability, correction, lenient_law


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of a model over the end of a text.

    Attributes
    ----------
    model : int
    keep : int
        Tokens of the text that the model has read and keeps; what it read beyond them is void.
    tokens : list of int
        What it reads now.
    n_last : int
        Logits are wanted after each of the last `n_last` tokens; 0 where the prompt is read.
    """

    model: int
    keep: int
    tokens: list[int]
    n_last: int


class Proposal(NamedTuple):
    """A token in front of a reviewer, and the law that it follows."""

    token: int
    law: Law
    plain: Tensor | None  # the law at temperature 1, where a rule needs it; None: one-shot


Asking = Generator[Pass, Tensor, list[Proposal]]


class Decoder:
    """One text being decoded."""

    def __init__(
        self,
        cascade: Cascade,
        models: Models,
        chance: Chance,
        sampling: Sampling,
        rules: Rules | None = None,
    ) -> None:
        check_models(cascade, models)
        self.rules = rules if rules is not None else Rules()
        self.rules.check(cascade, models)
        self.cascade = cascade
        self.models = models
        self.chance = chance
        self.sampling = sampling
        self.text: list[int] = []
        self.used = [0, *(m for m in cascade.models if m in models.language)]
        self.read = dict.fromkeys(self.used, 0)  # tokens of the text that a model has read
        self.calls = {m: 0 for m in cascade.models if m in models.one_shot}
        self.call_seconds = dict.fromkeys(self.calls, 0.0)
        softly = self.rules.lenience if sampling.temperature == 0.0 else {}
        compared = self.rules.deferral or softly  # else only drafts look at their own confidence
        self._plain = set(self.used if compared else self.rules.confidence)

    def leave_drafts(self) -> None:
        """Go on with the target alone: there is no room in the context to draft."""
        self.cascade, self.used = Cascade(()), [0]

    def prefill(self, prompt: Sequence[int]) -> Generator[Pass, Tensor, None]:
        """Read the prompt with all models, all but its last token."""
        self.text = list(prompt)
        if len(self.text) > 1:
            for model in self.used:
                yield Pass(model, 0, self.text[:-1], 0)
                self.read[model] = len(self.text) - 1

    def cycle(self) -> Generator[Pass, Tensor, tuple[list[int], int]]:
        """Run one cycle; return the emitted tokens and the number of proposals."""
        start = len(self.text)
        proposed = yield from self._segments(self.cascade.drafts)
        emitted = yield from self._review(0, self.cascade.drafts, start, proposed)
        return [proposal.token for proposal in emitted], len(proposed)

    def _segments(self, drafts: tuple[Segment, ...]) -> Asking:
        proposed: list[Proposal] = []
        for segment in drafts:
            calls = 0
            while wants_call(segment, calls, len(proposed)):
                found = yield from self._call(segment)
                proposed += found
                calls += 1
                if not found or self._unsure(segment, found[-1]):
                    break  # nothing to propose, or no confidence in more
        return proposed

    def _unsure(self, segment: Segment, last: Proposal) -> bool:
        least = self.rules.confidence.get(segment.model)
        if least is None or isinstance(segment, Review) or last.plain is None:
            return False
        return float(last.plain[last.token]) < least

    def _call(self, segment: Segment) -> Asking:
        if isinstance(segment, Review):
            start = len(self.text)
            inner = yield from self._segments(segment.drafts)
            return (yield from self._review(segment.model, segment.drafts, start, inner))
        if segment.model in self.models.one_shot:
            return self._propose(segment)
        proposed: list[Proposal] = []
        for _ in range(segment.length):
            law, plain = (yield from self._laws(segment.model, 1))[0]
            token = self.chance.draw(law)
            proposed.append(Proposal(token, law, plain))
            self.text.append(token)
            if self._unsure(segment, proposed[-1]):
                break
        return proposed

    def _propose(self, segment: Draft) -> list[Proposal]:
        began = time.perf_counter()
        draft = self.models.one_shot[segment.model]
        found = draft.propose(self.text, segment.length)
        self.calls[segment.model] += 1
        self.call_seconds[segment.model] += time.perf_counter() - began
        self.text += found
        return [Proposal(token, PointLaw(token, draft.vocab_size), None) for token in found]

    def _review(
        self, reviewer: int, drafts: tuple[Segment, ...], start: int, proposed: list[Proposal]
    ) -> Asking:
        """Keep the longest accepted prefix of text[start:] and add one token of the reviewer's."""
        rows = yield from self._laws(reviewer, len(proposed) + 1)
        rule = self.rules.deferral.get(reviewer)
        lenience = self.rules.lenience.get(reviewer)
        factor = 1.0 if lenience is None else lenience.factor
        emitted: list[Proposal] = []
        for (token, draft, soft), (own, plain) in zip(proposed, rows, strict=False):
            if rule is not None:
                own, plain = self._deferred(reviewer, own, plain, draft, soft)
            follows, forgiven = own, 1.0
            if factor > 1.0 and not (isinstance(draft, PointLaw) and soft is None):
                if isinstance(own, PointLaw):
                    own = _forgiven(own, token, plain, soft, factor)
                    follows = own
                else:
                    follows, forgiven = lenient_law(own, draft, factor), factor
            if not self.chance.coin(accept_probability(own, draft, token, forgiven)):
                last = correction(own, draft, forgiven)
                break
            emitted.append(Proposal(token, follows, plain))
        else:
            own, plain = rows[len(proposed)]
            if rule is not None:
                front, front_plain = yield from self._law_of(drafts[0])
                own, plain = self._deferred(reviewer, own, plain, front, front_plain)
            last = follows = own
        self._cut(start + len(emitted))
        token = self.chance.draw(last)
        self.text.append(token)
        return [*emitted, Proposal(token, follows, plain)]

    def _law_of(self, segment: Segment) -> Generator[Pass, Tensor, tuple[Law, Tensor | None]]:
        """Law of the token with which `segment` would continue the text."""
        law, plain = (yield from self._laws(segment.model, 1))[0]
        if isinstance(segment, Review) and segment.model in self.rules.deferral:
            front, front_plain = yield from self._law_of(segment.drafts[0])
            return self._deferred(segment.model, law, plain, front, front_plain)
        return law, plain

    def _deferred(
        self,
        reviewer: int,
        own: Law,
        plain: Tensor | None,
        draft: Law,
        draft_plain: Tensor | None,
    ) -> tuple[Law, Tensor | None]:
        """Law of a deferring reviewer in one context; at temperature 1 too if others read it."""
        rule = self.rules.deferral[reviewer]
        # both plain laws are there: whoever defers has all models in `_plain`
        law = mixed(rule, own, draft, plain, draft_plain)  # type: ignore[arg-type]
        if not reviewer:
            return law, None
        return law, mixed_plain(rule, plain, draft_plain)  # type: ignore[arg-type]

    def _laws(
        self, model: int, n_last: int
    ) -> Generator[Pass, Tensor, list[tuple[Law, Tensor | None]]]:
        """Laws after each of the last `n_last` prefixes of the text, in one pass."""
        keep = min(self.read[model], len(self.text) - n_last)  # logits are not kept: read again
        logits = yield Pass(model, keep, self.text[keep:], n_last)
        self.read[model] = len(self.text)
        if self.rules.deferral:
            logits = logits.double()  # laws are mixed, and compared to the last bit
        laws = self.sampling.law(logits, self.text)
        if model not in self._plain:
            return [(law, None) for law in laws]
        whole = self.sampling.unscaled
        plain = laws.dense() if whole else self.sampling.plain(logits, self.text)
        return list(zip(laws, plain, strict=True))

    def _cut(self, length: int) -> None:
        """Drop all text from `length` on, and what the models read of it."""
        if length < len(self.text):
            del self.text[length:]
            for model, read in self.read.items():
                self.read[model] = min(read, length)


def _forgiven(
    own: PointLaw, token: int, plain: Tensor | None, soft: Tensor | None, factor: float
) -> PointLaw:
    """Greedy lenience: the draft's token stands in for the reviewer's if q <= f p there."""
    # both are there: greedy lenience has all models in `_plain`
    if float(soft[token]) <= factor * float(plain[token]):  # type: ignore[index]
        return PointLaw(token, own.vocab_size, own.dtype)
    return own


def check_models(cascade: Cascade, models: Models) -> None:
    """Raise ValueError if the cascade asks for a model that is not there, or cannot review."""
    for segment in walk(cascade.drafts):
        if segment.model not in models:
            raise ValueError(
                f"the cascade uses model {segment.model}, but the models are "
                f"0..{len(models) - 1}: load one more draft or change the cascade"
            )
        if isinstance(segment, Review) and segment.model not in models.language:
            raise ValueError(
                f"model {segment.model} ({models[segment.model].name}) is one-shot and "
                "cannot review"
            )
