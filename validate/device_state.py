"""The state of a decoder on the device, and the moves that change it without the host's help.

A move is one pass of one model with all that follows from it: the tokens are taken from a text
on the device, a token is drawn and written back, counters advance. Its shapes do not depend on
the text, so a move can be recorded as one CUDA graph, and the host may ask for the next one
before this one is done.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from validate.recorded import record
from validate.sampling import Sampling, draw
from validate.static_session import ALL_ROWS, Lane
from validate.verify import SURE

SIZE, START, USED, READ = 0, 1, 2, 3  # counters; from READ on one a model: tokens it has read
N_UNIFORMS = 2048
HEADER = 3  # a look's result: proposals kept, whether a law is nan, uniforms used; tokens


Move = Callable[[], Tensor]


class DeviceState:
    """Text, counters, laws of proposals and uniforms of one text at a time.

    Parameters
    ----------
    room : int
        Tokens of the longest text.
    vocab_size, n_models : int
    device : torch.device
    dtype : torch.dtype
        Of the laws.
    """

    @torch.inference_mode()
    def __init__(
        self, room: int, vocab_size: int, n_models: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._device, self._vocab_size, self._dtype = device, vocab_size, dtype
        self._text = torch.zeros(room + 2 * ALL_ROWS, dtype=torch.int64, device=device)
        self._counts = torch.zeros(READ + n_models, dtype=torch.int64, device=device)
        # a look reads as many coins as it is wide, also where it uses fewer
        self._uniforms = torch.zeros(N_UNIFORMS + ALL_ROWS, dtype=torch.float64, device=device)
        self._laws = torch.zeros((0, vocab_size), dtype=dtype, device=device)
        # made once: each of them would be a kernel of every move
        self._index = torch.arange(max(vocab_size, ALL_ROWS), device=device)
        self._zero = torch.zeros(1, dtype=torch.int64, device=device)
        self._moves: dict[tuple[int, str, Sampling, int, int, bool], Move] = {}
        self._lanes: dict[int, Lane] = {}

    @torch.inference_mode()
    def begin(
        self, text: Sequence[int], read: dict[int, int], lanes: dict[int, Lane], greedy: bool
    ) -> None:
        """Take over a text, how much of it each model has read, and where each keeps it."""
        for model, lane in lanes.items():
            if self._lanes.get(model) is not lane:
                self._moves = {key: move for key, move in self._moves.items() if key[0] != model}
                self._lanes[model] = lane
        self._text[: len(text)].copy_(torch.tensor(text))
        counts = [len(text), 0, 0, *(read.get(m, 0) for m in range(len(self._counts) - READ))]
        self._counts.copy_(torch.tensor(counts))
        if not greedy and not len(self._laws):
            # row of a place: place % rows; twice the widest pass, so that no two are confused
            shape = (2 * ALL_ROWS + 2, self._vocab_size)
            self._laws = torch.zeros(shape, dtype=self._dtype, device=self._device)

    @torch.inference_mode()
    def ready(
        self,
        model: int,
        kind: str,
        sampling: Sampling,
        width: int,
        reach: int,
        inner: bool = False,
    ) -> Move:
        """The move "step" or "look" of `model`, recorded now if it is not yet.

        A step reads what the model has not read of the text and adds one token of its own; a
        look reviews the text from `review_from` on, cuts it and adds a token. `inner`: what a
        look emits is a proposal to another reviewer, so its law is kept.
        """
        key = model, kind, sampling, width, reach, inner
        if key not in self._moves:
            lane = self._lanes[model]

            def work() -> Tensor:
                if kind == "step":
                    return self._step(model, lane, sampling, width, reach)
                return self._look(model, lane, sampling, width, reach, inner)

            changed = (self._text, self._counts, self._laws)
            self._moves[key] = record(work, self._device, lane.graphs, changed)
        return self._moves[key]

    @torch.inference_mode()
    def step(self, move: Move) -> None:
        """Make a step; nobody waits for it."""
        move()

    @torch.inference_mode()
    def look(self, move: Move) -> list[int]:
        """Make a look, wait, and tell what came out (see `HEADER`)."""
        return move().tolist()

    @torch.inference_mode()
    def append(self, tokens: Sequence[int], size: int, greedy: bool) -> None:
        """Add proposals of a one-shot draft behind the first `size` tokens."""
        end = size + len(tokens)
        self._text[size:end].copy_(torch.tensor(tokens))
        self._counts[SIZE].fill_(end)
        if not greedy:
            for place, token in zip(range(size, end), tokens, strict=True):
                row = self._laws[place % len(self._laws)]
                row.zero_()
                row[token] = 1.0

    def tokens(self, start: int, end: int) -> list[int]:
        """Tokens of the text that the host does not know yet."""
        return self._text[start:end].tolist()

    @torch.inference_mode()
    def refill(self, uniforms: Sequence[float]) -> None:
        """Replace all uniforms; the next one drawn is the first."""
        self._uniforms[: len(uniforms)].copy_(torch.tensor(uniforms, dtype=torch.float64))
        self._counts[USED].fill_(0)

    @torch.inference_mode()
    def review_from(self, start: int) -> None:
        """Say where the text that is looked at next begins."""
        self._counts[START].fill_(start)

    @torch.inference_mode()
    def set_read(self, model: int, read: int) -> None:
        """Say how much of the text `model` has read, where a session read it."""
        self._counts[READ + model].fill_(read)

    def _step(self, model: int, lane: Lane, sampling: Sampling, width: int, reach: int) -> Tensor:
        size, read = self._counts[SIZE : SIZE + 1], self._counts[READ + model : READ + model + 1]
        places = read + self._index[:width]
        row = self._zero if width == 1 else size - 1 - read  # of the last token
        logits = lane.forward(self._text[places], places, reach, row)  # (1, vocab_size)
        if sampling.temperature == 0.0:
            token = logits.argmax(dim=-1)  # (1,)
        else:
            law = sampling.law(logits).dense()  # (1, vocab_size)
            used = self._counts[USED : USED + 1]
            token = draw(law[0], self._uniforms[used], self._index)
            self._laws[size % len(self._laws)] = law.to(self._dtype)
            used.add_(1)
        self._text[size] = token
        read.copy_(size)
        size.add_(1)
        return token

    def _look(
        self, model: int, lane: Lane, sampling: Sampling, width: int, reach: int, inner: bool
    ) -> Tensor:
        counts, index = self._counts, self._index[:width]
        size, start = counts[SIZE : SIZE + 1], counts[START : START + 1]
        after = self._text[1:]  # at a place: the token that follows
        first = start - 1
        if width == 1:  # of the last token alone: nothing is proposed
            heads = places = first
            rows = self._zero
        else:
            begin = torch.minimum(counts[READ + model : READ + model + 1], first)
            heads, places = first + index, begin + index  # (width,): rows wanted, rows read
            rows = (heads - begin).clamp(max=width - 1)
        logits = lane.forward(self._text[places], places, reach, rows)  # (width, vocab_size)
        proposed = after[heads]  # (width,), of which the first n are proposals
        n = size - start
        if sampling.temperature > 0.0:
            kept, token, nan = self._accept(sampling, logits, proposed, start, n, inner)
        elif width == 1:
            kept, token, nan = self._zero, logits.argmax(dim=-1), self._zero
        else:
            own = logits.argmax(dim=-1)  # (width,)
            kept = _prefix((own == proposed) & (index < n))
            token, nan = own[kept], self._zero
        end = start + kept
        self._text[end] = token
        torch.add(end, 1, out=size)
        torch.minimum(counts[READ:], end, out=counts[READ:])
        counts[READ + model : READ + model + 1].copy_(end)
        return torch.cat([kept, nan, counts[USED : USED + 1], after[heads]])

    def _accept(
        self,
        sampling: Sampling,
        logits: Tensor,
        proposed: Tensor,
        start: Tensor,
        n: Tensor,
        inner: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Number kept, the correction or bonus token, 1 if a law is nan; each (1,)."""
        index = self._index[: len(proposed)]
        places = (start + index) % len(self._laws)
        own = sampling.law(logits).dense().to(self._dtype)  # (width, vocab_size)
        laws = self._laws[places]  # (width, vocab_size)
        at = proposed[:, None]
        ratio = own.gather(1, at)[:, 0].double() / laws.gather(1, at)[:, 0].double()
        used = self._counts[USED : USED + 1]
        coins = self._uniforms[used + index]
        # as accept_probability: rounding alone must not reject
        keep = (coins < torch.where(ratio < SURE, ratio, 1.0)) & (index < n)
        kept = _prefix(keep)
        rejected = kept < n
        last = own[kept]  # (1, vocab_size)
        excess = (last - torch.where(rejected[:, None], laws[kept], 0.0)).clamp(min=0.0)
        mass = excess.sum(dtype=torch.float64)
        # as correction: where that has no mass, rounding alone has rejected
        weights = torch.where(mass > 0.0, excess, last)[0]
        used.add_(torch.minimum(kept + 1, n))  # a coin each, up to the first rejection
        token = draw(weights, self._uniforms[used], self._index)
        used.add_(1)
        if inner:
            self._laws[places] = own  # what an inner reviewer emits follows its own law
        return kept, token, mass.isnan().long()[None]


def _prefix(keep: Tensor) -> Tensor:
    """Number of true values before the first false one, (1,)."""
    return keep.long().cumprod(0).sum()[None]
