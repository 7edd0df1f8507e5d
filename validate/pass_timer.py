"""Seconds inside passes, without waiting for the device between them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from validate.cache import synchronize


class PassTimer:
    """Adds up the seconds of passes, by model.

    On a CPU by the clock around each pass. On CUDA by a pair of events around it, which the
    device stamps as it reaches them: the host goes on at once, and `settle` reads the stamps
    when all is done, so timing adds no wait to a cycle.

    Parameters
    ----------
    device : torch.device

    Examples
    --------
    >>> timer = PassTimer(torch.device("cpu"))
    >>> with timer.around(0):
    ...     _ = sum(range(1000))
    >>> seconds = timer.settle({})
    >>> list(seconds), seconds[0] > 0.0
    ([0], True)
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._spans: list[tuple[int, Any, Any]] = []
        self._spare: list[Any] = []  # events to use again

    @contextmanager
    def around(self, model: int) -> Iterator[None]:
        """Count what happens inside as time of `model`."""
        began = self._stamp()
        yield
        self._spans.append((model, began, self._stamp()))

    def settle(self, seconds: dict[int, float]) -> dict[int, float]:
        """Wait for what was timed and add it to `seconds`; return them."""
        on_gpu = self._device.type == "cuda"
        if self._spans and on_gpu:
            synchronize(self._device)
        for model, began, ended in self._spans:
            spent = began.elapsed_time(ended) / 1e3 if on_gpu else ended - began  # of ms
            seconds[model] = seconds.get(model, 0.0) + spent
            if on_gpu:
                self._spare += (began, ended)
        self._spans.clear()
        return seconds

    def _stamp(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = self._spare.pop() if self._spare else torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event
