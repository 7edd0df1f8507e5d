"""The cascade decoder with its text on the device: one small read a review, none a draft.

`Decoder` looks at every token as it is drawn, so the device waits for the host after every pass;
beside a draft's pass of 50 microseconds that is most of the time. Here tokens stay on the
device until a review has cut them. Tokens, laws and random numbers are those of `Decoder`.
"""

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from cscalc.cascade import Cascade, Draft, Review, Segment
from validate.chance import Chance, Sampled
from validate.completion import Completion
from validate.decoder import Asking, Decoder, Pass
from validate.device_state import N_UNIFORMS, DeviceState
from validate.engine import CompiledModel
from validate.models import Models
from validate.rules import Rules
from validate.sampling import Sampling
from validate.static_session import ALL_ROWS, Lane, StaticSession


class Timer(Protocol):
    """What measures passes; see `validate.pass_timer`."""

    def around(self, model: int) -> AbstractContextManager[None]:
        """Count what happens inside as time of `model`."""
        ...


def runs_on_device(
    cascade: Cascade, models: Models, chance: Chance, sampling: Sampling, rules: Rules
) -> bool:
    """Whether `DeviceDecoder` can decode: static caches on one device, and no rule to follow.

    A cascade must not be longer than a pass whose every logit is wanted.
    """
    used = [models.language[m] for m in (0, *cascade.models) if m in models.language]
    compiled = [model for model in used if isinstance(model, CompiledModel)]
    if len(compiled) < len(used):
        return False
    engines = [model.engine for model in compiled]
    return (
        len({model.device for model in compiled}) == 1
        and hasattr(chance, "uniform")
        and sampling.repetition_penalty == 1.0
        and not (rules.lenience or rules.deferral or rules.confidence)
        and all(cascade.max_length + 2 <= min(_most(e.widths), e.slack) for e in engines)
    )


class DeviceDecoder(Decoder):
    """A `Decoder` that draws and accepts on the device; arguments as there.

    `attach` must be called before the first cycle.
    """

    chance: Sampled  # or what else gives uniforms, see `runs_on_device`

    def attach(self, sessions: Mapping[int, StaticSession], run: Completion, timer: Timer) -> None:
        """Use these sessions; count and time passes in `run` and `timer`."""
        self._sessions, self._run, self._timer = sessions, run, timer
        self._greedy = self.sampling.temperature == 0.0
        self._size = 0  # tokens on the device; `text` may lack the last ones
        self._numbers: list[float] = []  # uniforms on the device
        self._used = 0
        self._state = state_of(self.models, sessions[0].lane)

    def cycle(self) -> Generator[Pass, Tensor, tuple[list[int], int]]:
        start = len(self.text)
        if not self._size:
            lanes = {model: session.lane for model, session in self._sessions.items()}
            self._state.begin(self.text, self.read, lanes, self._greedy)
            self._size = start
        proposed = yield from self._segments(self.cascade.drafts)
        self._look(0, start, len(proposed))
        return self.text[start:], len(proposed)

    def _call(self, segment: Segment) -> Asking:
        if isinstance(segment, Review):
            start = self._size
            inner = yield from self._segments(segment.drafts)
            return self._look(segment.model, start, len(inner))
        if segment.model in self.models.one_shot:
            return self._offer(segment)
        for _ in range(segment.length):
            self._step(segment.model)
        return [None] * segment.length  # type: ignore[list-item]

    def _step(self, model: int) -> None:
        session, begin, width = self._ready(model, self._size)
        self._need(1)
        reach = session.lane.reach(begin + width)
        move = self._state.ready(model, "step", self.sampling, width, reach)
        with self._timer.around(model):
            self._state.step(move)
        self._used += not self._greedy
        self._count(model, self._size - begin)
        self.read[model] = self._size
        self._size += 1

    def _look(self, model: int, start: int, n: int) -> list[Any]:
        """Review `n` proposals from `start` on; return as many placeholders as it emits."""
        session, begin, width = self._ready(model, start - 1)
        self._need(n + 1)
        reach = session.lane.reach(begin + width)
        self._state.review_from(start)
        move = self._state.ready(model, "look", self.sampling, width, reach, inner=model > 0)
        with self._timer.around(model):
            kept, nan, self._used, *tokens = self._state.look(move)
        if nan:
            raise ValueError(
                "a law is not a number: the model's logits overflow, try a wider dtype"
            )
        self._count(model, self._size - begin)
        self.read[model] = self._size
        del self.text[start:]
        if len(self.text) == start:  # else something before it is on the device only
            self.text += tokens[: kept + 1]
        self._size = start + kept + 1
        for number, read in self.read.items():
            self.read[number] = min(read, start + kept)
        return [None] * (kept + 1)

    def _offer(self, segment: Draft) -> list[Any]:
        """Proposals of a one-shot draft, which reads the text on the host."""
        if len(self.text) < self._size:
            self.text += self._state.tokens(len(self.text), self._size)
        found = self._propose(segment)
        if found:
            self._state.append([p.token for p in found], self._size, self._greedy)
            self._size += len(found)
        return found

    def _ready(self, model: int, latest: int) -> tuple[StaticSession, int, int]:
        """Session, first place (at most `latest`) and width of a pass to the end of the text.

        A model that was not asked for many cycles first reads, in pieces, what the host knows.
        """
        session, read = self._sessions[model], self.read[model]
        session.rewind(read)
        while self._size - read > _most(session.lane.widths):
            end = min(read + session.lane.widths[-1], len(self.text) - 1)
            with self._timer.around(model):
                session.extend(self.text[read:end], 1)
            self._run.passes[model] += 1
            self._run.positions[model] += end - read
            self.read[model] = read = end
            self._state.set_read(model, read)
        begin = min(read, latest)
        session.rewind(begin)
        return session, begin, session.lane.width(self._size - begin)

    def _count(self, model: int, positions: int) -> None:
        self._sessions[model].advance(positions)
        self._run.passes[model] += 1
        self._run.positions[model] += positions

    def _need(self, uniforms: int) -> None:
        """See to it that so many uniforms are on the device."""
        if self._greedy or self._used + uniforms <= len(self._numbers):
            return
        left = self._numbers[self._used :]
        self._numbers = left + [self.chance.uniform() for _ in range(N_UNIFORMS - len(left))]
        self._state.refill(self._numbers)
        self._used = 0


def _most(widths: tuple[int, ...]) -> int:
    """The widest pass that gives the logits of all its positions."""
    return max(width for width in widths if width <= ALL_ROWS)


def state_of(models: Models, lane: Lane) -> DeviceState:
    """The state that lives beside the target's lane, with its recorded moves."""
    key = "decoder", len(models)
    if key not in lane.beside:
        dtype = torch.float64 if lane.dtype == torch.float64 else torch.float32
        lane.beside[key] = DeviceState(
            models.target.max_positions, models.vocab_size, len(models), lane.device, dtype
        )
    return lane.beside[key]  # type: ignore[no-any-return]
