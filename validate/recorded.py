"""Work that is done over and over on the same buffers, recorded once as a CUDA graph."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_POOLS: dict[torch.device, Any] = {}  # graphs are replayed one after another: they share memory
WARM_UP = 3  # runs before recording: kernels are chosen, workspaces and compiled code are made


def record(
    work: Callable[[], Tensor],
    device: torch.device,
    graphs: bool,
    changed: Sequence[Tensor] = (),
) -> Callable[[], Tensor]:
    """Return `work`, or what replays it as a CUDA graph.

    Parameters
    ----------
    work : callable
        Reads and writes buffers that stay where they are; returns a tensor.
    device : torch.device
    graphs : bool
        False: `work` itself is returned, and nothing is run.
    changed : sequence of Tensor
        Buffers to put back after each run that warms up: `work` is to be done once.

    Returns
    -------
    callable
        Its result lies in one buffer, which every replay overwrites.
    """
    if not graphs:
        return work
    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        warm_up(work, changed)
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    pool = _POOLS.setdefault(device, torch.cuda.graph_pool_handle())
    with torch.cuda.graph(graph, pool=pool):
        found = work()

    def replay() -> Tensor:
        graph.replay()
        return found

    return replay


def warm_up(work: Callable[[], Tensor], changed: Sequence[Tensor]) -> None:
    """Do `work` a few times from the same state, and leave that state."""
    saved = [tensor.clone() for tensor in changed]
    for _ in range(WARM_UP):
        work()
        for tensor, before in zip(changed, saved, strict=True):
            tensor.copy_(before)
