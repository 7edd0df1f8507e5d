"""Work that is done over and over on the same buffers, recorded once as a CUDA graph."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WARM_UP = 3  # runs before recording: kernels are chosen, workspaces and compiled code are made
_POOLS: dict[torch.device, "Pool"] = {}


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
        Its result lies in one buffer, which every replay overwrites; graphs share memory, so
        it must be read or copied before another one is replayed.
    """
    if not graphs:
        return work
    with torch.cuda.device(device):
        if device not in _POOLS:
            _POOLS[device] = Pool(device)
        pool = _POOLS[device]
        pool.stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(pool.stream):
            warm_up(work, changed)
        torch.cuda.current_stream(device).wait_stream(pool.stream)
        graph = torch.cuda.CUDAGraph()
        with uncollected(), torch.cuda.graph(graph, pool=pool.handle, stream=pool.stream):
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


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector away: to free an old graph while another is made is an error."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class Pool:
    """Memory that the graphs of a device share, and the stream on which they are made.

    One stream for all: torch keeps a workspace of matrix products, 32 MB on Hopper, for every
    stream that ever met one. A small graph that is never replayed holds the memory: torch
    refuses a pool whose graphs are all gone while something in it is still used.
    """

    def __init__(self, device: torch.device) -> None:
        self.handle = torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream(device)
        self._graph, self._buffer = torch.cuda.CUDAGraph(), torch.zeros(1, device=device)
        self.stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.graph(self._graph, pool=self.handle, stream=self.stream):
            self._buffer.add_(1.0)


class NotRecordable(ValueError):
    """An operation that no CUDA graph can hold."""


class Recordable(TorchDispatchMode):
    """Raise `NotRecordable` at the first operation inside that no CUDA graph can hold.

    That is: the host reads a value, a shape depends on values, or data come from another
    device. On any device, so that a model can be tried before it is recorded. `launched` names
    the operations that are more than a view: about one kernel each.

    Examples
    --------
    >>> x = torch.ones(3)
    >>> with Recordable():
    ...     _ = torch.where(x > 0, x, 0.0).cumsum(0)
    >>> with Recordable():
    ...     _ = x[x > 0]
    Traceback (most recent call last):
    validate.recorded.NotRecordable: aten.index.Tensor makes a shape that depends on values
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launched: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        made_of_others = "CompositeImplicitAutograd"
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), made_of_others):
            with self:
                return func.decompose(*args, **kwargs)
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if torch.Tag.data_dependent_output in func.tags:
            raise NotRecordable(f"{func} reads a value on the host")
        if _shaped_by_values(func, args):
            raise NotRecordable(f"{func} makes a shape that depends on values")
        first = given[0] if given else None
        devices = {str(x.device) for x in given}
        made = first if func.overloadpacket in _MADE else None
        if made is not None and made.device.type != "cpu" and made.numel():
            raise NotRecordable(f"a tensor on {made.device} is made of numbers of the host")
        to = kwargs.get("device")
        if first is not None and to is not None and to.type != first.device.type:
            raise NotRecordable(f"{func} moves data from {first.device} to {to}")
        if torch.Tag.pointwise in func.tags and func.overloadpacket is not _WHERE:
            # a number on the host may stand in arithmetic on the device: it is taken by value
            devices = {str(x.device) for x in given if x.ndim}
        if len(devices) > 1:
            raise NotRecordable(f"{func} moves data between {' and '.join(sorted(devices))}")
        if not func.is_view:
            self.launched.append(str(func.overloadpacket))
        return func(*args, **kwargs)


_WHERE = torch.ops.aten.where
_MADE = (torch.ops.aten.lift_fresh, torch.ops.aten.detach_)  # what torch.tensor(...) shows
_INDEXING = (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_)


def _shaped_by_values(func: Any, args: Any) -> bool:
    if func.overloadpacket not in _INDEXING:
        return torch.Tag.dynamic_output_shape in func.tags
    if len(args) > 2 and args[2].numel() == 1:
        return False  # one number put where a mask is true: a fill
    return any(x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1])
