"""Key-value caches of fixed size: written in place at given places, rewound by an index.

Nothing here depends on how much a text has grown but the numbers in a tensor, so a pass over
such a cache can be recorded once and replayed.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

STEP = 256  # rooms are multiples of it, so that masks stay aligned for fast attention kernels


class StaticLayer(DynamicLayer):
    """Keys and values of one layer, shape (1, heads, room, dim), allocated once.

    Attributes
    ----------
    room : int
        Positions held. A layer with a sliding window is a ring: position p lies in slot
        ``p % room``, and the mask knows which position each slot holds.
    slots : Tensor of int64, shape (new,)
        Where the next states go; like `reach` set by `StaticCache.aim` before every pass.
    reach : int
        Slots that the next pass reads.
    """

    slots: Tensor

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room = room
        self.reach = room

    def lazy_initialization(self, key_states: Tensor, *args: Any, **kwargs: Any) -> None:
        super().lazy_initialization(key_states, *args, **kwargs)
        value_states = args[0] if args else kwargs["value_states"]
        self.buffers = tuple(
            states.new_zeros((*states.shape[:2], self.room, states.shape[3]))  # 0: junk may be nan
            for states in (key_states, value_states)
        )

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write states (1, heads, new, dim) to `slots`; return the first `reach` slots."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values = self.buffers
        keys.index_copy_(2, self.slots, key_states)
        values.index_copy_(2, self.slots, value_states)
        return keys[:, :, : self.reach], values[:, :, : self.reach]


class StaticCache(Cache):
    """Layers of fixed size and the masks that hide what is void.

    Parameters
    ----------
    windows : sequence of (str, int or None)
        Kind and sliding window of every layer; None sees all positions.
    room : int
        Positions that a layer without a window holds.
    spare : int
        Positions that a layer with a window holds beyond it.
    dtype : torch.dtype
        Of the masks.
    device : torch.device, optional
        Likewise.
    """

    layers: list[StaticLayer]  # type: ignore[assignment]  # of the base class's: of one kind

    def __init__(
        self,
        windows: Sequence[tuple[str, int | None]],
        *,
        room: int,
        spare: int,
        dtype: torch.dtype,
        device: torch.device | str | None = None,
    ) -> None:
        self.room = rounded_up(room)
        # made once: each of them would be a kernel of every pass
        self._slots = torch.arange(self.room, device=device)
        self._seen = torch.zeros((), dtype=dtype, device=device)
        self._hidden = torch.full_like(self._seen, torch.finfo(dtype).min)
        self._rooms = rooms_of(windows, room=room, spare=spare)
        self._windows = dict(windows)
        super().__init__(layers=[StaticLayer(self._rooms[kind]) for kind, _ in windows])

    @property
    def rings(self) -> dict[str, int]:
        """Positions that each kind of layer with a bounded window holds, where not all."""
        return {kind: room for kind, room in self._rooms.items() if room < self.room}

    def aim(self, places: Tensor, reach: int) -> Any:
        """Where the next pass writes, and how far full layers are read; return its mask.

        Parameters
        ----------
        places : Tensor of int64, shape (new,)
            Consecutive positions.
        reach : int
            Slots of full layers to read; more than any of `places`.

        Returns
        -------
        Tensor, shape (1, 1, new, keys), or a dict of them, one a kind of layer
            What is added to scores: 0 where a position is seen.
        """
        masks = {}
        for kind, window in self._windows.items():
            room = self._rooms[kind]
            if room < self.room:
                last = places[-1]
                held = last - (last - self._slots[:room]) % room  # position in each slot, (room,)
                sees = (held <= places[:, None]) & (held >= 0)  # (new, keys)
            else:
                held = self._slots[:reach]
                sees = held <= places[:, None]
            if window is not None:
                sees = sees & (held > places[:, None] - window)
            masks[kind] = torch.where(sees, self._seen, self._hidden)[None, None]
        slots = {room: places % room for room in self.rings.values()}
        for layer in self.layers:
            ring = layer.room < self.room
            layer.slots = slots[layer.room] if ring else places
            layer.reach = layer.room if ring else reach
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def bytes(self) -> int:
        """Bytes that the buffers hold."""
        tensors = [b for layer in self.layers if layer.is_initialized for b in layer.buffers]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def rooms_of(
    windows: Sequence[tuple[str, int | None]], *, room: int, spare: int
) -> dict[str, int]:
    """Positions that each kind of layer holds; arguments as `StaticCache`.

    Examples
    --------
    >>> rooms_of([("full_attention", None), ("sliding_attention", 8)], room=700, spare=96)
    {'full_attention': 768, 'sliding_attention': 256}
    """
    every = rounded_up(room)
    return {
        kind: every if window is None else min(every, rounded_up(window + spare))
        for kind, window in windows
    }


def rounded_up(room: int) -> int:
    """The next multiple of `STEP`.

    Examples
    --------
    >>> rounded_up(256), rounded_up(257)
    (256, 512)
    """
    return -(-room // STEP) * STEP


def windows_of(config: Any, name: str) -> list[tuple[str, int | None]]:
    """Kind and sliding window of every layer of a model, from its text configuration.

    Raises
    ------
    ValueError
        If a layer is neither full nor sliding-window attention.
    """
    known = {"full_attention": None, "sliding_attention": getattr(config, "sliding_window", None)}
    kinds = layer_kinds(config)
    for kind in kinds:
        if kind not in known:
            raise ValueError(
                f"{name} has layers of {kind}, for which there is no static cache: use "
                'engine="eager"'
            )
    return [(kind, known[kind]) for kind in kinds]


def layer_kinds(config: Any) -> list[str]:
    """Kind of attention of every layer of a model, from its text configuration.

    Examples
    --------
    >>> from transformers import GPTNeoConfig, MistralConfig
    >>> layer_kinds(MistralConfig(num_hidden_layers=2, sliding_window=8))
    ['sliding_attention', 'sliding_attention']
    >>> layer_kinds(GPTNeoConfig(num_layers=2, attention_types=[[["global", "local"], 1]]))
    ['full_attention', 'local_attention']
    """
    kinds = getattr(config, "layer_types", None)
    if kinds:
        return list(kinds)
    others = getattr(config, "attention_layers", None)
    if isinstance(others, list | tuple):  # GPT-Neo, whose local layers make their own mask
        return ["full_attention" if kind == "global" else f"{kind}_attention" for kind in others]
    windowed = getattr(config, "sliding_window", None) is not None
    return ["sliding_attention" if windowed else "full_attention"] * int(config.num_hidden_layers)
