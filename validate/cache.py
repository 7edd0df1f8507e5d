"""A key-value cache that grows in place and rewinds without copying."""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

STEP = 256  # positions added when a buffer is full


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, as views of buffers with spare room at the end.

    transformers' own dynamic layer concatenates, which copies the whole cache in every pass.
    """

    def lazy_initialization(self, key_states: Tensor, *args: Any, **kwargs: Any) -> None:
        super().lazy_initialization(key_states, *args, **kwargs)
        self._buffers: list[Tensor] = []
        self._length = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append states of shape (batch, heads, new, dim); return all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self._length
        end = start + key_states.shape[-2]
        if not self._buffers or end > self._buffers[0].shape[-2]:
            self._grow(key_states, value_states, end)
        keys, values = self._buffers
        keys[:, :, start:end] = key_states
        values[:, :, start:end] = value_states
        self._length = end
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Positions held."""
        return self._length if self.is_initialized else 0

    def rewind(self, length: int) -> None:
        """Hold the first `length` positions; what lies behind is overwritten later.

        Only a number changes, for this is done in every layer in every cycle: there are no keys
        and values to look at until the next pass.
        """
        self._length = length
        self.keys = self.values = None

    def compact(self, start: int, slots: list[int]) -> None:
        """Hold the first `start` positions and, right behind them, those at start + `slots`."""
        end = start + len(slots)
        if slots != list(range(len(slots))):
            for buffer in self._buffers:
                where = torch.tensor(slots, device=buffer.device) + start
                buffer[:, :, start:end] = buffer.index_select(2, where)
        self.rewind(end)

    def _grow(self, key_states: Tensor, value_states: Tensor, end: int) -> None:
        room = (end // STEP + 1) * STEP
        larger = []
        for i, states in enumerate((key_states, value_states)):
            buffer = states.new_empty((*states.shape[:-2], room, states.shape[-1]))
            if self._buffers:
                buffer[:, :, : self._length] = self._buffers[i][:, :, : self._length]
            larger.append(buffer)
        self._buffers = larger


class GrowingCache(Cache):
    """A cache of transformers whose layers are `GrowingLayer`, made as the model asks for them."""

    layers: list[GrowingLayer]  # type: ignore[assignment]  # of the base class's: of one kind

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=GrowingLayer)

    def rewind(self, length: int) -> None:
        """Hold the first `length` positions in every layer."""
        for layer in self.layers:
            if not isinstance(layer, GrowingLayer):
                raise TypeError(f"this cache holds a {type(layer).__name__}, which cannot rewind")
            layer.rewind(length)

    def compact(self, start: int, slots: list[int]) -> None:
        """Keep `slots`, counted from position `start`, in this order; drop all others behind."""
        for layer in self.layers:
            if not isinstance(layer, GrowingLayer):
                raise TypeError(f"this cache holds a {type(layer).__name__}, which cannot compact")
            layer.compact(start, slots)


def cache_bytes(cache: GrowingCache) -> int:
    """Bytes that the cache's buffers hold."""
    tensors = [buffer for layer in cache.layers for buffer in layer._buffers]
    return sum(buffer.numel() * buffer.element_size() for buffer in tensors)


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done what it was asked; nothing to wait for on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
