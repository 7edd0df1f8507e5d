"""Sequences of DSIA drafts whose caches differ from a plain one: a window, or the target's own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from validate.cache import GrowingCache, GrowingLayer
from validate.dsia import SlidingWindow
from validate.models import Session, TransformersSession


class WindowLayer(GrowingLayer):
    """Keeps all keys and values, so that it rewinds; shows the last ones and the sinks."""

    size = 1
    sinks = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        keys, values = super().update(key_states, value_states, *args, **kwargs)
        start = first_seen(self.size, self.sinks, keys.shape[-2], key_states.shape[-2])
        if start <= self.sinks:
            return keys, values
        if not self.sinks:
            return keys[:, :, start:], values[:, :, start:]
        shown = [torch.cat((s[:, :, : self.sinks], s[:, :, start:]), -2) for s in (keys, values)]
        return shown[0], shown[1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        length = self.get_seq_length() + query_length
        start = first_seen(self.size, self.sinks, length, query_length)
        hidden = max(0, start - self.sinks)
        return length - hidden, hidden


def first_seen(size: int, sinks: int, length: int, new: int) -> int:
    """First position in the window of any of the `new` last of `length` positions.

    Examples
    --------
    >>> first_seen(4, 0, 10, 1), first_seen(4, 0, 10, 3), first_seen(16, 0, 10, 1)
    (6, 4, 0)
    """
    return max(0, length - new - size + 1)


def window_mask(size: int, sinks: int, length: int, new: int, dtype: torch.dtype) -> Tensor:
    """Additive mask of the `new` last of `length` positions (1, 1, new, keys shown).

    Examples
    --------
    >>> (window_mask(2, 1, 5, 2, torch.float32)[0, 0] == 0.0).int().tolist()
    [[1, 1, 1, 0], [1, 0, 1, 1]]
    """
    start = first_seen(size, sinks, length, new)
    key = torch.arange(length)
    shown = key[(key < sinks) | (key >= start)]
    query = torch.arange(length - new, length)[:, None]
    seen = (shown <= query) & ((shown > query - size) | (shown < sinks))
    mask = torch.zeros(seen.shape, dtype=dtype)
    mask[~seen] = torch.finfo(dtype).min
    return mask[None, None]


class WindowSession(TransformersSession):
    """A sequence in which each position sees a sliding window."""

    def __init__(self, model: Any, window: SlidingWindow) -> None:
        super().__init__(model)
        self._window = window

        def layer() -> WindowLayer:
            made = WindowLayer()  # type: ignore[no-untyped-call]
            made.size, made.sinks = window.size, window.sinks
            return made

        self._cache = GrowingCache()
        self._cache.layer_class_to_replicate = layer  # type: ignore[assignment]  # only called

    @torch.inference_mode()
    def extend(self, tokens: Sequence[int], n_last: int) -> Tensor:
        ids = torch.tensor([tokens], dtype=torch.int64, device=self._device)  # (1, new)
        length = self.length + len(tokens)
        positions = torch.arange(self.length, length, device=self._device)[None]
        size, sinks, dtype = self._window.size, self._window.sinks, self._model.dtype
        mask = window_mask(size, sinks, length, len(tokens), dtype).to(self._device)
        output = self._model.module(
            input_ids=ids, attention_mask=mask, position_ids=positions,
            past_key_values=self._cache, use_cache=True, logits_to_keep=n_last,
        )  # fmt: skip
        self.length = length
        self.positions += len(tokens)
        logits: Tensor = output.logits[0]
        return logits


class RememberingSession(TransformersSession):
    """A target's sequence that knows what its cache holds, so that drafts can write there too."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.tokens: list[int] = []  # read, the last ones perhaps void
        self._held: list[list[int]] = []  # text behind the keys and values of each layer

    def extend(self, tokens: Sequence[int], n_last: int) -> Tensor:
        start = self.length
        if (there := self.holds(self.tokens, len(self._held))) < start:
            raise RuntimeError(
                f"the target stands at {start}, but a draft that shares its cache wrote another "
                f"text from {there} on: rewind the target first"
            )
        logits = super().extend(tokens, n_last)
        self.tokens += tokens
        self.wrote(len(self._cache.layers), start, tokens)
        return logits

    def rewind(self, length: int) -> None:
        super().rewind(length)
        del self.tokens[length:]

    def first_layers(self, count: int) -> list[GrowingLayer]:
        """The cache's first layers, made if nobody has read yet."""
        while len(self._cache.layers) < count:
            self._cache.layers.append(GrowingLayer())  # type: ignore[no-untyped-call]
        return self._cache.layers[:count]

    def holds(self, text: Sequence[int], count: int) -> int:
        """How much of `text` the first `count` layers hold."""
        held = {id(tokens): tokens for tokens in self._held[:count]}.values()
        if len(self._held) < count:
            return 0
        return min((common(text, tokens) for tokens in held), default=len(text))

    def wrote(self, count: int, start: int, tokens: Sequence[int]) -> None:
        """Note that the first `count` layers now hold `tokens` from `start` on."""
        self._held += [[] for _ in range(count - len(self._held))]
        now = [*self._held[0][:start], *tokens]  # one list for all: they were read alike
        self._held[:count] = [now] * count


class SharedSession(TransformersSession):
    """A sequence of a draft whose layers are the first of the target's, in the target's cache.

    What the target or another such draft has read of the same text is not read again. Between
    passes of the draft the shared layers stand where the target left them; what the draft wrote
    lies behind.
    """

    def __init__(self, model: Any, target: RememberingSession, n_layers: int) -> None:
        super().__init__(model)
        self._target = target
        self._n_layers = n_layers
        self._tokens: list[int] = []

    def rewind(self, length: int) -> None:
        del self._tokens[length:]
        self.length = len(self._tokens)

    @torch.inference_mode()
    def extend(self, tokens: Sequence[int], n_last: int) -> Tensor:
        text, count = [*self._tokens, *tokens], self._n_layers
        start = min(self._target.holds(text, count), len(text) - n_last)
        shared = GrowingCache()
        shared.layers = self._target.first_layers(count)
        for layer in shared.layers:
            if layer.is_initialized:
                layer.rewind(start)
        ids = torch.tensor([text[start:]], dtype=torch.int64, device=self._device)  # (1, new)
        output = self._model.module(
            input_ids=ids, past_key_values=shared, use_cache=True, logits_to_keep=n_last
        )
        shared.rewind(self._target.length)
        self._target.wrote(count, start, text[start:])
        self._tokens, self.length = text, len(text)
        self.positions += len(text) - start
        logits: Tensor = output.logits[0]
        return logits


def start_sessions(
    models: Mapping[int, Any], used: Iterable[int] | None = None
) -> dict[int, Session]:
    """Start a sequence of every model, for one text that all of them read.

    Early exits live in the target's cache: what the target has read, the prompt above all, they
    do not read again. All other models keep caches of their own.

    Parameters
    ----------
    models : mapping of int -> LanguageModel
        0 is the target.
    used : iterable of int, optional
        Models to start; all of them by default.

    Raises
    ------
    KeyError
        If a number is not among the models.

    Returns
    -------
    dict of int -> Session

    Examples
    --------
    >>> from validate.dsia_models import self_draft
    >>> from validate.models import TransformersModel
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=11, hidden_size=16, intermediate_size=16,
    ...     num_hidden_layers=4, num_attention_heads=2)
    >>> target = TransformersModel(LlamaForCausalLM(config), name="tiny")
    >>> sessions = start_sessions({0: target, 1: self_draft(target, "exit:2")})
    >>> _ = sessions[0].extend([1, 2, 3, 4, 5], 1)
    >>> _ = sessions[1].extend([1, 2, 3, 4, 5, 6], 1)
    >>> sessions[1].length, sessions[1].positions
    (6, 1)
    """
    numbers = sorted(models if used is None else used)
    target = models[0]
    guests = [
        n for n in numbers
        if getattr(models[n], "shares_cache", False) and models[n].target is target
    ]  # fmt: skip
    if not guests or 0 not in numbers:
        return {n: models[n].start() for n in numbers}
    host = RememberingSession(target)
    return {
        n: host if n == 0
        else SharedSession(models[n], host, models[n].shared_layers) if n in guests
        else models[n].start()
        for n in numbers
    }  # fmt: skip


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the longest common beginning.

    Examples
    --------
    >>> common([1, 2, 3], [1, 2, 4, 5])
    2
    """
    both = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in both if a != b), min(len(one), len(other)))
