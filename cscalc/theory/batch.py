"""What a pass costs in a batch: the roofline of one GPU, and the verification curve it implies."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_int, check_number, check_shapes
from cscalc.theory._laws import check_law
from cscalc.theory.gpus import GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """What a forward pass of one model has to read and compute.

    Attributes
    ----------
    parameters : float
        Parameters read in a pass, > 0.
    bytes_per_parameter : float
        2 for bf16, 1 for int8, 0.5 for 4-bit, > 0.
    active_parameters : float, optional
        Parameters that one token meets, <= `parameters` (mixture of experts). Default: all.
    kv_bytes_per_token : float
        Key-value cache of one token, bytes: 2 x layers x key-value heads x head size x bytes
        each. Default 0: cache traffic is left out.
    attention_flops : float
        FLOP to attend from one position to one cached token: 4 x layers x query heads x head
        size. Default 0: left out.

    Examples
    --------
    >>> ModelSize(parameters=8e9, kv_bytes_per_token=131072).parameters
    8000000000.0
    """

    parameters: float
    bytes_per_parameter: float = 2.0
    active_parameters: float | None = None
    kv_bytes_per_token: float = 0.0
    attention_flops: float = 0.0

    def __post_init__(self) -> None:
        for name in ("parameters", "bytes_per_parameter"):
            if not check_number(name, getattr(self, name), 0.0) > 0.0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}")
        check_number("kv_bytes_per_token", self.kv_bytes_per_token, 0.0)
        check_number("attention_flops", self.attention_flops, 0.0)
        if self.active_parameters is not None:
            check_number("active_parameters", self.active_parameters, 0.0, self.parameters)


def pass_time(
    model: ModelSize,
    gpu: GPU,
    *,
    batch: npt.ArrayLike = 1,
    positions: npt.ArrayLike = 1,
    context: npt.ArrayLike = 0,
    launch: float = 0.0,
) -> Floats:
    r"""Seconds of one forward pass, by the roofline.

    Parameters
    ----------
    model : ModelSize
    gpu : GPU
    batch : array_like
        Sequences, >= 1.
    positions : array_like
        New positions per sequence, >= 1.
    context : array_like
        Tokens per sequence already in the key-value cache, >= 0.
    launch : float
        Fixed time of a pass outside the roofline (kernel launches, sampling), seconds, >= 0.

    Returns
    -------
    ndarray, float64
        Seconds; `batch`, `positions`, `context` broadcast.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Notes
    -----
    .. math:: t = t_0 + \max\left(
        \frac{N b + B (L + m) \kappa}{\mathrm{bandwidth}},\;
        \frac{2 N_a B m + B m (L + \tfrac{m + 1}{2}) a}{\mathrm{peak}} \right)

    with N parameters of b bytes, :math:`N_a` of them active, B sequences, m positions, L cached
    tokens, :math:`\kappa` cache bytes and a attention FLOP. The slower of the two resources
    decides (Williams, Waterman, Patterson, CACM 52(4), 2009); a pass overlaps them perfectly.

    Examples
    --------
    >>> from cscalc.theory.gpus import GPUS
    >>> llama = ModelSize(parameters=8e9)
    >>> pass_time(llama, GPUS["H100 SXM"], positions=[1, 8, 1024]).round(5).tolist()
    [0.00478, 0.00478, 0.01656]
    """
    check_shapes(batch=batch, positions=positions, context=context)
    sequences = _at_least("batch", batch, 1.0)
    new = _at_least("positions", positions, 1.0)
    cached = _at_least("context", context, 0.0)
    fixed = check_number("launch", launch, 0.0)
    active = model.parameters if model.active_parameters is None else model.active_parameters
    weights = model.parameters * model.bytes_per_parameter
    moved = weights + sequences * (cached + new) * model.kv_bytes_per_token
    attended = sequences * new * (cached + 0.5 * (new + 1.0))  # causal among the new ones
    computed = 2.0 * active * sequences * new + attended * model.attention_flops
    return np.asarray(fixed + np.maximum(moved / gpu.bandwidth, computed / gpu.peak))


@dataclass(frozen=True, slots=True)
class RooflineCurve:
    """V(m): the pass over m positions, in one-position passes; a `Profile`'s `verify`.

    Attributes
    ----------
    model : ModelSize
    gpu : GPU
    batch : float
        Sequences, >= 1.
    context : float
        Cached tokens per sequence, >= 0.
    launch : float
        Fixed seconds per pass, >= 0.

    Examples
    --------
    >>> from cscalc.theory.gpus import GPUS
    >>> curve = RooflineCurve(ModelSize(parameters=8e9), GPUS["H100 SXM"], batch=64)
    >>> round(curve(1), 3), round(curve(16), 3)
    (1.0, 3.467)
    """

    model: ModelSize
    gpu: GPU
    batch: float = 1
    context: float = 0
    launch: float = 0.0

    def __post_init__(self) -> None:
        self(1)  # raises on bad numbers

    def __call__(self, positions: int) -> float:
        """V(`positions`), 1 at one position."""
        times = pass_time(
            self.model,
            self.gpu,
            batch=self.batch,
            positions=[1, positions],
            context=self.context,
            launch=self.launch,
        )
        return float(times[1] / times[0])


def draft_cost(
    draft: ModelSize,
    target: ModelSize,
    gpu: GPU,
    *,
    batch: npt.ArrayLike = 1,
    context: npt.ArrayLike = 0,
    draft_context: npt.ArrayLike | None = None,
    launch: float = 0.0,
    draft_launch: float | None = None,
) -> Floats:
    """Cost coefficient c: one pass of the draft over one of the target, same batch and GPU.

    Parameters
    ----------
    draft, target : ModelSize
    gpu : GPU
    batch, context : array_like
        As in `pass_time`.
    draft_context : array_like, optional
        Cached tokens the draft reads, where it keeps fewer (MagicDec's sparse cache). Default:
        `context`.
    launch, draft_launch : float
        Fixed seconds per pass of target and draft; `draft_launch` defaults to `launch`.

    Returns
    -------
    ndarray, float64
        Target passes per draft pass.

    Raises
    ------
    TypeError, ValueError
        As `pass_time`.

    Examples
    --------
    >>> from cscalc.theory.gpus import GPUS
    >>> small, large = ModelSize(parameters=1e9), ModelSize(parameters=8e9)
    >>> float(draft_cost(small, large, GPUS["H200"]))
    0.125
    """
    check_shapes(batch=batch, context=context, draft_context=draft_context)
    own_context = context if draft_context is None else draft_context
    own_launch = launch if draft_launch is None else draft_launch
    cheap = pass_time(draft, gpu, batch=batch, context=own_context, launch=own_launch)
    return np.asarray(cheap / pass_time(target, gpu, batch=batch, context=context, launch=launch))


def lockstep_law(law: npt.ArrayLike, batch: int) -> Floats:
    r"""Law of tokens per cycle when a batch keeps only what its worst sequence accepted.

    Parameters
    ----------
    law : array_like, shape (..., n)
        P(a sequence alone emits i tokens), i = 0..n-1, as `token_law` returns it.
    batch : int
        Independent sequences, >= 1.

    Returns
    -------
    ndarray, shape (..., n), float64
        Law of the minimum over the batch: its survival function is the single one's to the
        power `batch`.

    Raises
    ------
    TypeError, ValueError
        If `law` is not a law or `batch` is not an int >= 1.

    Examples
    --------
    >>> lockstep_law([0.0, 0.5, 0.5], 2).tolist()
    [0.0, 0.75, 0.25]
    """
    pmf = check_law("law", law)
    count = check_int("batch", batch, least=1)
    tail = np.flip(np.cumsum(np.flip(pmf, axis=-1), axis=-1), axis=-1)  # P(tokens >= i)
    tail = np.minimum(1.0, tail) ** count
    return np.asarray(tail - np.concatenate([tail[..., 1:], np.zeros_like(tail[..., :1])], -1))


def lockstep_tokens(law: npt.ArrayLike, batch: int) -> Floats:
    """Expected tokens per cycle and sequence of a batch in lockstep.

    A ragged batch, where every sequence keeps what it accepted, gives the mean of `law` instead.

    Parameters
    ----------
    law : array_like, shape (..., n)
        As in `lockstep_law`.
    batch : int
        Independent sequences, >= 1.

    Returns
    -------
    ndarray, shape (...), float64
        Mean of the minimum over the batch.

    Raises
    ------
    TypeError, ValueError
        As `lockstep_law`.

    Examples
    --------
    >>> float(lockstep_tokens([0.0, 0.5, 0.5], 2)), float(lockstep_tokens([0.0, 0.5, 0.5], 1))
    (1.25, 1.5)
    """
    pmf = lockstep_law(law, batch)
    return np.asarray(pmf @ np.arange(pmf.shape[-1], dtype=np.float64))


def _at_least(name: str, values: npt.ArrayLike, least: float) -> Floats:
    array = as_floats(name, values)
    good = np.isfinite(array) & (array >= least)
    if not np.all(good):
        raise ValueError(f"{name} must be finite and >= {least:g}, got {array[~good].flat[0]:g}")
    return array
