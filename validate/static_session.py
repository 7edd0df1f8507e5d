"""A sequence in caches of fixed size, and what it borrows: buffers and recorded passes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from validate.recorded import record
from validate.static_cache import StaticCache, rooms_of

ALL_ROWS = 32  # the widest pass in which a decoder looks at all logits
NARROW = 4  # wider passes that want one row of logits read a prompt: recorded, but not compiled


class Lane:
    """Cache, input buffers and recorded passes that one sequence at a time uses.

    Parameters
    ----------
    model : validate.engine.CompiledModel
    """

    def __init__(self, model: Any) -> None:
        self.device, self.dtype = model.device, model.dtype
        self._forward, self._prefill = model.forward, model.module.forward
        self._last_place = model.last_place
        self.graphs: bool = model.engine.graphs
        self.widths: tuple[int, ...] = model.engine.widths
        self._first_reach: int = model.engine.first_reach
        self.beside: dict[Any, Any] = {}  # what a decoder keeps beside it: it lasts as long
        widest = self.widths[-1]
        self.cache = StaticCache(
            model.windows, **room_of(model), dtype=self.dtype, device=self.device
        )
        self.index = torch.arange(widest, device=self.device)  # kept: it would be a kernel a pass
        self._inputs = torch.zeros(widest + 2, dtype=torch.int64, device=self.device)
        on_gpu = self.device.type == "cuda"
        self._host = torch.zeros(widest + 2, dtype=torch.int64, pin_memory=on_gpu)
        self._copied = torch.cuda.Event() if on_gpu else None
        self._passes: dict[tuple[int, int, bool], Callable[[], Tensor]] = {}

    def width(self, new: int) -> int:
        """The width at which a pass over `new` positions runs."""
        return next((width for width in self.widths if width >= new), self.widths[-1])

    def reach(self, end: int) -> int:
        """Slots that a pass reads whose last place is before `end`."""
        room = self._first_reach
        while room < end:
            room *= 2
        return min(room, self.cache.room)

    @torch.inference_mode()
    def read(self, tokens: Sequence[int], start: int, n_last: int) -> Tensor:
        """Logits after the last `n_last` of `tokens`, which stand from place `start` on.

        They lie in a buffer that the next pass overwrites if graphs are replayed.
        """
        new = len(tokens)
        width = self.width(new)
        every = n_last > 1 or width <= NARROW
        self._put(tokens, start, width)
        logits = self._pass(width, self.reach(start + width), every)()
        return logits[new - n_last : new] if every else logits

    def _put(self, tokens: Sequence[int], start: int, width: int) -> None:
        """Fill the input buffer: start, row of the last token, tokens, padding."""
        new = len(tokens)
        values = [start, new - 1, *tokens, *[0] * (width - new)]
        if self._copied is not None:
            self._copied.synchronize()  # the device has taken what was in the host's buffer
        self._host[: width + 2] = torch.tensor(values)
        self._inputs[: width + 2].copy_(self._host[: width + 2], non_blocking=True)
        if self._copied is not None:
            self._copied.record(torch.cuda.current_stream(self.device))

    def _pass(self, width: int, reach: int, every: bool) -> Callable[[], Tensor]:
        key = width, reach, every
        if key not in self._passes:
            self._passes[key] = record(
                lambda: self._run(width, reach, every), self.device, self.graphs
            )
        return self._passes[key]

    def _run(self, width: int, reach: int, every: bool) -> Tensor:
        ids, row = self._inputs[2 : width + 2], self._inputs[1:2]
        places = self._inputs[:1] + self.index[:width]
        return self.forward(ids, places, reach, self.index[:width] if every else row)

    def forward(self, ids: Tensor, places: Tensor, reach: int, rows: Tensor) -> Tensor:
        """Logits of one pass over `ids`, (width,).

        Parameters
        ----------
        ids : Tensor of int64, shape (width,)
        places : Tensor of int64, shape (width,)
            Where they stand: consecutive.
        reach : int
            Slots to read.
        rows : Tensor of int64
            Rows whose logits are wanted: one, or as many as `ids`, so that there are only
            two forms of a pass to compile.
        """
        mask = self.cache.aim(places, reach)
        # the first pass of a lane makes its buffers, which is not worth a compilation of its own
        made = self.cache.layers[0].is_initialized
        compiled = made and (len(rows) == len(ids) or len(ids) <= NARROW)
        if reach > self._last_place + 1:  # padding may lie behind what embeddings reach
            position_ids = places.clamp(max=self._last_place)
        else:
            position_ids = places
        output = (self._forward if compiled else self._prefill)(
            input_ids=ids[None], past_key_values=self.cache, use_cache=True, attention_mask=mask,
            position_ids=position_ids[None], logits_to_keep=rows,
        )  # fmt: skip
        return output.logits[0]  # type: ignore[no-any-return]


def room_of(model: Any) -> dict[str, int]:
    """Positions that a lane's layers hold without a window, and beyond one."""
    widest = model.engine.widths[-1]
    return {"room": model.max_positions + widest, "spare": model.engine.slack + 2 * widest}


def check_slack(model: Any, back: int, longest: int) -> None:
    """Raise ValueError if a text in static caches may have to go back further than they can.

    Parameters
    ----------
    model : LanguageModel
        Any; only a `CompiledModel` with sliding windows forgets.
    back : int
        Tokens that a text may go back.
    longest : int
        Tokens that are ever read of one text, at most.
    """
    engine, windows = getattr(model, "engine", None), getattr(model, "windows", ())
    if engine is None or back <= engine.slack:
        return
    rooms = rooms_of(windows, **room_of(model))
    padded = min(longest, model.max_positions) + engine.widths[-1]
    if any(window is not None and padded > rooms[kind] for kind, window in windows):
        raise ValueError(
            f"the cascade proposes up to {back} tokens, but the sliding windows of {model.name} "
            f"go back at most {engine.slack}: use an engine of slack={back}, or a shorter cascade"
        )


class StaticSession:
    """A sequence read by a `CompiledModel`."""

    def __init__(self, model: Any, lane: Lane) -> None:
        self.lane = lane
        self._model = model
        self.length = 0
        self.positions = 0
        self._furthest = 0  # what was ever read: a ring has forgotten as much before it

    @torch.inference_mode()
    def extend(self, tokens: Sequence[int], n_last: int) -> Tensor:
        """Read `tokens`, in pieces of the widest pass; logits after each of the last `n_last`."""
        most = self._model.max_positions
        if self.length + len(tokens) > most:
            raise ValueError(
                f"the text has {self.length + len(tokens)} tokens, but {self._model.name} holds "
                f"{most}: shorten it, or raise max_length of the engine"
            )
        found = []
        for piece, wanted in _pieces(tokens, n_last, self._model.engine.widths[-1]):
            logits = self.lane.read(piece, self.length, max(wanted, 1))
            if wanted:
                found.append(logits.clone())  # the next pass overwrites its buffer
            self.advance(len(piece))
        return found[0] if len(found) == 1 else torch.cat(found)

    def advance(self, new: int) -> None:
        """Count `new` tokens as read."""
        self.length += new
        self.positions += new
        self._furthest = max(self._furthest, self.length)

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens: an index moves, nothing is copied."""
        if length >= self.length:
            return
        slack = self._model.engine.slack
        for kind, room in self.lane.cache.rings.items():
            padded = self._furthest + self._model.engine.widths[-1]
            if padded > room and self._furthest - length > slack and length > 0:
                raise ValueError(
                    f"{self._model.name} keeps {room} positions in its layers of {kind} and read "
                    f"{self._furthest}, so it cannot go back to {length}: go back at most {slack} "
                    "(the engine's slack), or to 0"
                )
        self.length = length
        if not length:
            self._furthest = 0


def _pieces(
    tokens: Sequence[int], n_last: int, widest: int
) -> Iterator[tuple[Sequence[int], int]]:
    """Pieces of at most `widest` tokens, and of how many last ones in each logits are wanted."""
    first = len(tokens) - n_last  # from here on
    for start in range(0, len(tokens), widest):
        piece = tokens[start : start + widest]
        yield piece, min(len(piece), max(0, start + len(piece) - first))
