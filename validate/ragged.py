"""Several texts that a model reads together, each with a length of its own.

A row of the cache holds one text from position 0 on. A pass writes each row's new keys behind
what the row keeps, and a mask hides what lies behind its end: rows need no common length, and
a row goes back by forgetting its end.
"""

from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from validate.cache import STEP
from validate.decoder import Pass
from validate.models import (
    LanguageModel,
    TransformersModel,
    TransformersSession,
    near,
    refused,
    trial_tokens,
)
from validate.tree_session import layer_windows

FAR = 300  # a trial's text stands so far behind the other row: past a window of 256, say


class Rows(Protocol):
    """A number of texts that one model has read."""

    def read(self, asked: dict[int, Pass]) -> dict[int, Tensor]:
        """Serve rows in one pass; logits after each row's last tokens, (n_last, vocab_size)."""
        ...


def start_rows(model: LanguageModel, n_rows: int) -> Rows:
    """Empty rows of `model`: one pass for all with transformers, one by one otherwise.

    Raises
    ------
    ValueError
        If there are several rows, and a transformers model does not read texts of other
        lengths side by side as it reads each alone (found out by one small trial).
    """
    if isinstance(model, TransformersModel) and n_rows > 1:
        check_ragged(model)
        return RaggedRows(model, n_rows)
    return SeparateRows(model, n_rows)


class SeparateRows:
    """A session a row, for models that know no batches, and for a single row."""

    def __init__(self, model: LanguageModel, n_rows: int) -> None:
        self._sessions = [model.start() for _ in range(n_rows)]

    def read(self, asked: dict[int, Pass]) -> dict[int, Tensor]:
        found = {}
        for row, wanted in asked.items():
            session = self._sessions[row]
            session.rewind(wanted.keep)
            found[row] = session.extend(wanted.tokens, max(1, wanted.n_last))
        return found


class RaggedLayer(DynamicLayer):
    """Keys and values of one layer, (rows, heads, room, dim), written at places of each row."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write states (batch, heads, new, dim) where `aim` said; return the batch's rows."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._buffers: list[Tensor] = []
        rows, places, most, n_rows = self._aim
        states = key_states, value_states
        if not self._buffers or self._buffers[0].shape[2] < most:
            self._grow(states, most, n_rows)
        found = []
        for buffer, new in zip(self._buffers, states, strict=True):
            buffer[rows[:, None], :, places] = new.transpose(1, 2)  # (batch, new, heads, dim)
            every = rows.shape[0] == n_rows
            found.append((buffer if every else buffer[rows])[:, :, :most])
        self.keys, self.values = found
        return self.keys, self.values

    def aim(self, rows: Tensor, places: Tensor, most: int, n_rows: int) -> None:
        """Where the next states go: (batch,) rows in order, (batch, new) places in each."""
        self._aim = rows, places, most, n_rows

    def _grow(self, states: tuple[Tensor, Tensor], most: int, n_rows: int) -> None:
        room = (most // STEP + 1) * STEP
        larger = []
        for i, new in enumerate(states):
            buffer = new.new_zeros((n_rows, new.shape[1], room, new.shape[3]))
            if self._buffers:
                old = self._buffers[i]
                buffer[:, :, : old.shape[2]] = old
            larger.append(buffer)
        self._buffers = larger


class RaggedCache(Cache):
    """A cache of transformers whose layers are `RaggedLayer`."""

    layers: list[RaggedLayer]  # type: ignore[assignment]  # of the base class's: of one kind
    _aim: tuple[Tensor, Tensor, int, int]  # set by `aim` before every pass

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=RaggedLayer)

    def aim(self, rows: Tensor, places: Tensor, most: int, n_rows: int) -> None:
        """Where the next pass writes, in every layer."""
        self._aim = rows, places, most, n_rows

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        while len(self.layers) <= layer_idx:
            self.layers.append(RaggedLayer())  # type: ignore[no-untyped-call]
        layer = self.layers[layer_idx]
        layer.aim(*self._aim)
        return layer.update(key_states, value_states, *args, **kwargs)


class RaggedRows:
    """Texts of a transformers model behind one cache.

    Parameters
    ----------
    model : TransformersModel
    n_rows : int
    """

    def __init__(self, model: TransformersModel, n_rows: int) -> None:
        self._model, self._n_rows = model, n_rows
        self._windows = layer_windows(model.module.config.get_text_config(), model.name)
        self._cache = RaggedCache()

    @torch.inference_mode()
    def read(self, asked: dict[int, Pass]) -> dict[int, Tensor]:
        rows = sorted(asked)
        news = [len(asked[row].tokens) for row in rows]
        widest, device = max(news), self._model.device
        keeps = torch.tensor([asked[row].keep for row in rows], device=device)
        places = keeps[:, None] + torch.arange(widest, device=device)  # (batch, widest)
        most = int(places.max()) + 1
        ids = torch.zeros((len(rows), widest), dtype=torch.int64)
        for i, row in enumerate(rows):  # what pads a row is overwritten by its next pass
            ids[i, : news[i]] = torch.tensor(asked[row].tokens)
        self._cache.aim(torch.tensor(rows, device=device), places, most, self._n_rows)
        n_last = max(asked[row].n_last for row in rows)
        output = self._model.module(
            input_ids=ids.to(device), past_key_values=self._cache, use_cache=True,
            position_ids=self._within(places), attention_mask=self._mask(places, most),
            logits_to_keep=widest if n_last else 1,
        )  # fmt: skip
        return {
            row: output.logits[i, new - asked[row].n_last : new] if n_last else output.logits[i]
            for i, (row, new) in enumerate(zip(rows, news, strict=True))
        }

    def _within(self, places: Tensor) -> Tensor:
        """Position ids; those of padding stay within the context."""
        return places.clamp(max=self._model.max_positions - 1)

    def _mask(self, places: Tensor, most: int) -> Any:
        """Additive mask (batch, 1, new, all), or one for each kind of layer."""
        columns = torch.arange(most, device=places.device)
        dtype, masks = self._model.dtype, {}
        for kind, window in self._windows.items():
            sees = columns <= places[:, :, None]  # (batch, new, all)
            if window is not None:
                sees &= columns > places[:, :, None] - window
            bias = torch.zeros(sees.shape, dtype=dtype, device=places.device)
            masks[kind] = bias.masked_fill_(~sees, torch.finfo(dtype).min)[:, None]
        return masks if len(masks) > 1 else next(iter(masks.values()))


_checked: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()


def check_ragged(model: TransformersModel) -> None:
    """Raise ValueError unless `model` reads two rows of other lengths as it reads each alone."""
    if model.module in _checked:
        return
    refusal = (
        f"{model.name} ({type(model.module).__name__}) does not read texts of other lengths side "
        "by side as it reads each alone: decode one text at a time, with batch=1"
    )
    text = trial_tokens(model)
    n_tokens = len(text)
    texts, half = (text, text[::-1]), (n_tokens + 1) // 2
    far = max(0, min(FAR, model.max_positions - half))
    rows, last = RaggedRows(model, 2), n_tokens - 1
    steps: list[dict[int, Pass]] = [
        # the other row stands far ahead, behind positions that nobody sees
        {0: Pass(0, 0, text[:half], half), 1: Pass(0, far, text[:1], 1)},
        {0: Pass(0, half - 1, text[half - 1 :], half), 1: Pass(0, 0, texts[1], n_tokens)},
        {1: Pass(0, last, texts[1][last:], 1)},
    ]
    with refused(refusal):
        found = [rows.read(asked) for asked in steps]
    del steps[0][1]  # what follows there means nothing
    alone = [TransformersSession(model).extend(each, n_tokens) for each in texts]
    for asked, logits in zip(steps, found, strict=True):
        for row, wanted in asked.items():
            read = wanted.keep + len(wanted.tokens)
            if not near(logits[row], alone[row][read - wanted.n_last : read], model.dtype):
                raise ValueError(refusal)
    _checked[model.module] = True
