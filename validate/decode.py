"""Decode with any cascade: one prompt, a stream of tokens, or many prompts in batches.

The law of the output is exactly the target's, unless a deferral rule of the target asks for
another one.
"""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from cscalc.cascade import Cascade
from cscalc.theory.deferral import DeferralRule
from cscalc.theory.lenience import Lenience
from validate.chance import Chance, as_chance
from validate.completion import Completion
from validate.decoder import Decoder, Pass, check_models
from validate.device_decoder import DeviceDecoder, runs_on_device
from validate.dsia_sessions import start_sessions
from validate.ending import Ending, OnToken, hand_out
from validate.models import Models
from validate.options import CascadeOptions, takes
from validate.pass_timer import PassTimer
from validate.sampling import Sampling
from validate.static_session import StaticSession, check_slack

Writing = Generator[Pass | list[int], Tensor | None, None]


def write(decoder: Decoder, prompt: Sequence[int], run: Completion, ending: Ending) -> Writing:
    """Decode one text: ask for passes, hand out the tokens of each cycle, fill `run`."""
    models, lossless = decoder.models, decoder.rules.lossless
    room = context_room(decoder.cascade, models)
    if len(prompt) + decoder.cascade.max_length + 1 > room:
        if not lossless:
            raise ValueError(
                f"the prompt has {len(prompt)} tokens and the models hold {room}: too little to "
                "draft, which a deferral rule needs; shorten the prompt"
            )
        decoder.leave_drafts()  # no draft reads the prompt at all
    yield from decoder.prefill(prompt)
    while True:
        if len(decoder.text) + decoder.cascade.max_length + 1 > room:
            if not lossless:
                run.finish = "context"
                return
            decoder.leave_drafts()
        if len(decoder.text) >= models.target.max_positions:
            run.finish = "context"
            return
        emitted, reviewed = yield from decoder.cycle()
        tokens, ended = ending.take(run, emitted, reviewed=reviewed)
        yield tokens
        if ended:
            return


class Sessions:
    """A session of every model in use, for one text; counts and times what it is asked for."""

    def __init__(self, decoder: Decoder, run: Completion) -> None:
        self._models, self._run, self._decoder = decoder.models, run, decoder
        self._sessions = start_sessions(decoder.models.language, decoder.used)
        numbers = [0, *decoder.cascade.models]
        run.passes, run.seconds = dict.fromkeys(numbers, 0), dict.fromkeys(numbers, 0.0)
        run.positions = dict.fromkeys(self._sessions, 0)
        self._timer = PassTimer(decoder.models.device)
        if isinstance(decoder, DeviceDecoder):
            on_device = cast("dict[int, StaticSession]", self._sessions)  # see `runs_on_device`
            decoder.attach(on_device, run, self._timer)

    def answer(self, asked: Pass) -> Tensor:
        """Logits after each of the last tokens."""
        session, run = self._sessions[asked.model], self._run
        if session.length > asked.keep:
            session.rewind(asked.keep)
        if not asked.n_last:
            return session.extend(asked.tokens, 1)
        with self._timer.around(asked.model):
            logits = session.extend(asked.tokens, asked.n_last)
        run.passes[asked.model] += 1
        run.positions[asked.model] += len(asked.tokens)
        return logits

    def clock(self) -> float:
        """Seconds, once the device has done what it was asked."""
        self._models.synchronize()
        return time.perf_counter()

    def settle(self) -> None:
        """Take over seconds of passes, and calls and seconds of the one-shot drafts."""
        self._timer.settle(self._run.seconds)
        self._run.passes |= self._decoder.calls
        self._run.seconds |= self._decoder.call_seconds


@takes(CascadeOptions)
def stream(
    cascade: Cascade,
    models: Models,
    prompt: Sequence[int],
    *,
    generator: torch.Generator | Chance,
    completion: Completion | None = None,
    **options: Any,
) -> Iterator[int]:
    """Yield tokens as cycles emit them; options as `generate`.

    `completion`, if given, is filled while tokens are taken.
    """
    asked = CascadeOptions(**options)
    prompt = check_prompt(prompt, models, asked.max_tokens)
    run = completion if completion is not None else Completion()
    chance = as_chance(generator)
    rules, sampling = asked.rules(cascade, models), asked.drawn
    check_back(cascade, models, len(prompt) + asked.max_tokens)
    on_device = runs_on_device(cascade, models, chance, sampling, rules)
    kind = DeviceDecoder if on_device else Decoder
    decoder = kind(cascade, models, chance, sampling, rules)
    return _stream(decoder, prompt, run, asked.ending(models))


def _stream(
    decoder: Decoder, prompt: Sequence[int], run: Completion, ending: Ending
) -> Iterator[int]:
    sessions = Sessions(decoder, run)
    writing, reply, prefilling = write(decoder, prompt, run, ending), None, True
    began = sessions.clock()
    try:
        while True:
            asked = writing.send(reply)
            if isinstance(asked, Pass):
                if prefilling and asked.n_last:
                    now = sessions.clock()
                    run.prefill_seconds, began, prefilling = now - began, now, False
                reply = sessions.answer(asked)
                continue
            run.decode_seconds += sessions.clock() - began
            sessions.settle()
            yield from asked
            reply, began = None, sessions.clock()
    except StopIteration:
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
    stop: Sequence[str] = (),
    lenience: Lenience | Mapping[int, Lenience] | None = None,
    confidence: float | Mapping[int, float] | None = None,
    deferral: DeferralRule | Mapping[int, DeferralRule] | None = None,
    on_token: OnToken | None = None,
) -> Completion:
    """Decode one prompt; without `deferral` the law of the tokens is the target's own.

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
        Temperature, truncation, repetition penalty; default temperature 1.
    eos : sequence of int
        Tokens that end the text.
    stop : sequence of str
        Strings that end the text, kept in it; they need a tokenizer. One that is never
        reached changes nothing.
    lenience : Lenience or dict of int -> Lenience, optional
        For every inner reviewer, or by model. The output law stays the target's.
    confidence : float or dict of int -> float, optional
        A draft stops after a token to which it gives less than this at temperature 1; for
        every drafting model, or by model. The output law stays the target's.
    deferral : DeferralRule or dict of int -> DeferralRule, optional
        A speculative cascade (arXiv:2405.19261): the target, or the reviewers named, defer by
        a rule of `cscalc.theory.deferral`; the output law becomes the rule's.
    on_token : callable, optional
        Called with every token as it is emitted.

    Returns
    -------
    Completion
        Tokens, and counts and seconds of what happened.

    Raises
    ------
    ValueError
        If the prompt is empty, holds an unknown token or leaves no room in the context, the
        cascade names a model that is not there, or a rule does not fit the cascade.

    Examples
    --------
    >>> import torch
    >>> from cscalc import Cascade, Draft
    >>> from validate import Models, TableModel
    >>> flat = torch.zeros(4, 4, dtype=torch.float64)
    >>> models = Models.of(TableModel(flat), TableModel(flat))
    >>> run = generate(
    ...     Cascade((Draft(1, 3),)), models, [0], generator=torch.Generator(), max_tokens=8
    ... )
    >>> run.emitted  # both laws are equal, so every proposal is kept
    [4, 4]
    """
    completion = Completion()
    tokens = stream(
        cascade, models, prompt, generator=generator, max_tokens=max_tokens, sampling=sampling,
        eos=eos, stop=stop, lenience=lenience, confidence=confidence, deferral=deferral,
        completion=completion,
    )  # fmt: skip
    hand_out(tokens, on_token)
    return completion


def context_room(cascade: Cascade, models: Models) -> int:
    """Tokens that every model in use can hold."""
    check_models(cascade, models)
    used = [0, *(m for m in cascade.models if m in models.language)]
    return min(models.language[m].max_positions for m in used)


def check_back(cascade: Cascade, models: Models, longest: int) -> None:
    """Raise ValueError if a text of `longest` tokens cannot go back by all that is proposed."""
    check_models(cascade, models)
    for model in (0, *(m for m in cascade.models if m in models.language)):
        check_slack(models.language[model], cascade.max_length, longest + cascade.max_length)


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
