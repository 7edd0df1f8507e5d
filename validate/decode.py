"""The cascade decoder: any cascade, cached models, output law exactly the target's."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from cscalc.cascade import Cascade, Draft, Review, Segment, walk, wants_call
from validate.cache import synchronize
from validate.chance import Chance, Sampled
from validate.models import Models
from validate.sampling import Law, Laws, PointLaw, Sampling
from validate.verify import accept_probability, correction

Proposed = list[tuple[int, Law]]  # token, and the law it was drawn from


@dataclass(slots=True)
class Completion:
    """What one run emitted, and what it took.

    Attributes
    ----------
    tokens : list of int
        Emitted tokens, at most as many as asked for; an end-of-text token is kept.
    emitted : list of int
        Tokens that each cycle emitted, before the last one is cut to length.
    reviewed : list of int
        Proposals in front of the target in each cycle.
    passes, positions : dict of int -> int
        Passes (calls, for a one-shot model) and positions passed through, after the prompt.
    seconds : dict of int -> float
        Time inside passes of each model, after the prompt.
    prefill_seconds, decode_seconds : float
        Time to read the prompt with all models; time of all cycles.
    finish : str
        "length", "eos" or "context".
    """

    tokens: list[int] = field(default_factory=list)
    emitted: list[int] = field(default_factory=list)
    reviewed: list[int] = field(default_factory=list)
    passes: dict[int, int] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    finish: str = "length"

    @property
    def cycles(self) -> int:
        """Number of cycles."""
        return len(self.emitted)

    @property
    def tokens_per_cycle(self) -> float:
        """Mean of `emitted`."""
        return sum(self.emitted) / len(self.emitted)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data, without the tokens."""
        return {
            "tokens": len(self.tokens),
            "emitted": self.emitted,
            "reviewed": self.reviewed,
            "passes": {str(m): n for m, n in self.passes.items()},
            "positions": {str(m): n for m, n in self.positions.items()},
            "seconds": {str(m): s for m, s in self.seconds.items()},
            "prefill_seconds": self.prefill_seconds,
            "decode_seconds": self.decode_seconds,
            "finish": self.finish,
        }


class Decoder:
    """One sequence being decoded: the text so far, and a session of every model in use."""

    def __init__(
        self, cascade: Cascade, models: Models, chance: Chance, sampling: Sampling
    ) -> None:
        check_models(cascade, models)
        self.cascade = cascade
        self.models = models
        self.chance = chance
        self.sampling = sampling
        self.text: list[int] = []
        used = [0, *(m for m in cascade.models if m in models.language)]
        self.sessions = {m: models.language[m].start() for m in used}
        self.passes = dict.fromkeys([0, *cascade.models], 0)
        self.seconds = dict.fromkeys([0, *cascade.models], 0.0)
        self._device = models.device

    def prefill(self, prompt: Sequence[int]) -> None:
        """Read the prompt with all models, all but its last token."""
        self.text = list(prompt)
        if len(self.text) > 1:
            for session in self.sessions.values():
                session.extend(self.text[:-1], 1)

    def cycle(self) -> tuple[list[int], int]:
        """Run one cycle; return the emitted tokens and the number of proposals."""
        start = len(self.text)
        proposed = self._segments(0, self.cascade.drafts)
        emitted = self._review(0, start, proposed)
        return [token for token, _ in emitted], len(proposed)

    def _segments(self, reviewer: int, drafts: tuple[Segment, ...]) -> Proposed:
        proposed: Proposed = []
        for segment in drafts:
            calls = 0
            while wants_call(segment, calls, len(proposed)):
                found = self._call(segment)
                proposed += found
                calls += 1
                if not found:  # a one-shot draft that has nothing to propose
                    break
        return proposed

    def _call(self, segment: Segment) -> Proposed:
        if isinstance(segment, Review):
            start = len(self.text)
            inner = self._segments(segment.model, segment.drafts)
            return self._review(segment.model, start, inner)
        if segment.model in self.models.one_shot:
            return self._propose(segment)
        proposed: Proposed = []
        for _ in range(segment.length):
            law = self._laws(segment.model, 1)[0]
            token = self.chance.draw(law)
            proposed.append((token, law))
            self.text.append(token)
        return proposed

    def _propose(self, segment: Draft) -> Proposed:
        began = time.perf_counter()
        found = self.models.one_shot[segment.model].propose(self.text, segment.length)
        self.passes[segment.model] += 1
        self.seconds[segment.model] += time.perf_counter() - began
        self.text += found
        return [(token, PointLaw(token, self.models.vocab_size)) for token in found]

    def _review(self, reviewer: int, start: int, proposed: Proposed) -> Proposed:
        """Keep the longest accepted prefix of text[start:] and add the reviewer's own token."""
        laws = self._laws(reviewer, len(proposed) + 1)
        emitted: Proposed = []
        for (token, draft), law in zip(proposed, laws, strict=False):
            if not self.chance.coin(accept_probability(law, draft, token)):
                own = correction(law, draft)
                break
            emitted.append((token, law))
        else:
            own = laws[len(proposed)]
        last = laws[len(emitted)]  # the law that the extra token follows, whichever way it came
        self._cut(start + len(emitted))
        token = self.chance.draw(own)
        self.text.append(token)
        return [*emitted, (token, last)]

    def _laws(self, model: int, n_last: int) -> Laws:
        """Laws after each of the last `n_last` prefixes of the text, in one pass."""
        session = self.sessions[model]
        if len(self.text) - session.length < n_last:  # logits are not kept: read again
            session.rewind(len(self.text) - n_last)
        began = self._clock()
        logits = session.extend(self.text[session.length :], n_last)
        self.seconds[model] += self._clock() - began
        self.passes[model] += 1
        return self.sampling.law(logits)

    def _clock(self) -> float:
        synchronize(self._device)
        return time.perf_counter()

    def _cut(self, length: int) -> None:
        """Drop all text from `length` on, and what the sessions read of it."""
        if length < len(self.text):
            del self.text[length:]
            for session in self.sessions.values():
                if session.length > length:
                    session.rewind(length)


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


def stream(
    cascade: Cascade,
    models: Models,
    prompt: Sequence[int],
    *,
    generator: torch.Generator | Chance,
    max_tokens: int = 64,
    sampling: Sampling | None = None,
    eos: Sequence[int] = (),
    completion: Completion | None = None,
) -> Iterator[int]:
    """Yield tokens as cycles emit them; arguments as `generate`.

    `completion`, if given, is filled while tokens are taken.
    """
    prompt = check_prompt(prompt, models, max_tokens)
    run = completion if completion is not None else Completion()
    chance = generator if hasattr(generator, "draw") else Sampled(generator)
    plain, room = Cascade(()), context_room(cascade, models)
    fits = len(prompt) + cascade.max_length + 1 <= room  # else no draft reads the prompt at all
    decoder = Decoder(cascade if fits else plain, models, chance, sampling or Sampling())
    stop = frozenset(eos)

    began = time.perf_counter()
    decoder.prefill(prompt)
    models.synchronize()
    run.prefill_seconds = time.perf_counter() - began
    prefilled = {m: session.positions for m, session in decoder.sessions.items()}
    while True:
        if len(decoder.text) + decoder.cascade.max_length + 1 > room:
            decoder.cascade = plain  # too little room to draft: finish with the target alone
        if len(decoder.text) >= models.target.max_positions:
            run.finish = "context"
            return
        began = decoder._clock()
        emitted, reviewed = decoder.cycle()
        run.decode_seconds += decoder._clock() - began
        run.emitted.append(len(emitted))
        run.reviewed.append(reviewed)
        run.passes, run.seconds = decoder.passes, decoder.seconds
        run.positions = {m: s.positions - prefilled[m] for m, s in decoder.sessions.items()}
        for token in emitted:
            run.tokens.append(token)
            yield token
            if token in stop:
                run.finish = "eos"
                return
            if len(run.tokens) == max_tokens:
                return


def generate(
    cascade: Cascade,
    models: Models,
    prompt: Sequence[int],
    *,
    generator: torch.Generator | Chance,
    max_tokens: int = 64,
    sampling: Sampling | None = None,
    eos: Sequence[int] = (),
) -> Completion:
    """Decode one prompt; the law of the tokens is the target's own.

    Parameters
    ----------
    cascade : Cascade
        Who drafts and reviews; ``Cascade(())`` is plain decoding with the same code.
    models : Models
        Target and drafts.
    prompt : sequence of int
        At least one token (a begin-of-text token for an empty prompt).
    generator : torch.Generator
        Source of all randomness; one uniform a draw and one a coin.
    max_tokens : int
        Most tokens to emit.
    sampling : Sampling, optional
        Temperature and truncation; default temperature 1.
    eos : sequence of int
        Tokens that end the text.

    Returns
    -------
    Completion
        Tokens, and counts and seconds of what happened.

    Raises
    ------
    ValueError
        If the prompt is empty, holds an unknown token or leaves no room in the context, or
        the cascade names a model that is not there.
    """
    completion = Completion()
    for _ in stream(
        cascade, models, prompt, generator=generator, max_tokens=max_tokens, sampling=sampling,
        eos=eos, completion=completion,
    ):  # fmt: skip
        pass
    return completion


def context_room(cascade: Cascade, models: Models) -> int:
    """Tokens that every model in use can hold."""
    check_models(cascade, models)
    used = [0, *(m for m in cascade.models if m in models.language)]
    return min(models.language[m].max_positions for m in used)


def check_prompt(prompt: Sequence[int], models: Models, max_tokens: int) -> list[int]:
    """Return the prompt as a list; ValueError says what is wrong with it."""
    tokens = [int(token) for token in prompt]
    if not tokens:
        raise ValueError("the prompt is empty: give at least one token, such as begin-of-text")
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be >= 1, got {max_tokens}")
    for token in tokens:
        if not 0 <= token < models.vocab_size:
            raise ValueError(
                f"prompt token {token} is not in the vocabulary of {models.vocab_size}: "
                "was it made with another tokenizer?"
            )
    limit = models.target.max_positions
    if len(tokens) >= limit:
        raise ValueError(
            f"the prompt has {len(tokens)} tokens, but {models.target.name} holds {limit}: "
            "shorten the prompt"
        )
    return tokens
