"""The request-level view: Poisson arrivals to one server that runs a cascade in a batch.

The law of the tokens per cycle and the cost of a cycle come in as numbers, from a tally, from
`cscalc.token_law` or from a measurement; no formula is known here.
"""

import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_costs, check_int, check_lengths, check_number
from cscalc.stats import check_generator

if TYPE_CHECKING:
    import xarray as xr

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """What became of each request. All times are in the unit of the cycle costs.

    Attributes
    ----------
    arrivals, starts, finishes : ndarray, shape (n_requests,)
        When it came, when it joined the batch, when the cycle ended that completed its reply.
    lengths : ndarray of int, shape (n_requests,)
        Its reply, in tokens.
    busy : float
        Time in which the server ran cycles.
    request_time : float
        Sum over the requests of the time in the batch.
    """

    arrivals: Floats = field(repr=False)
    starts: Floats = field(repr=False)
    finishes: Floats = field(repr=False)
    lengths: Ints = field(repr=False)
    busy: float
    request_time: float

    @property
    def waits(self) -> Floats:
        """From arrival to joining the batch, shape (n_requests,)."""
        return self.starts - self.arrivals

    @property
    def latencies(self) -> Floats:
        """From arrival to the last token, shape (n_requests,)."""
        return self.finishes - self.arrivals

    @property
    def duration(self) -> float:
        """From 0 to the end of the last reply."""
        return float(self.finishes.max())

    @property
    def throughput(self) -> float:
        """Tokens of replies per unit of time."""
        return float(self.lengths.sum()) / self.duration

    @property
    def utilisation(self) -> float:
        """Share of the time in which the server ran cycles, in (0, 1]."""
        return self.busy / self.duration

    @property
    def mean_batch(self) -> float:
        """Requests in the batch, averaged over the busy time."""
        return self.request_time / self.busy

    def percentiles(self, levels: Sequence[float] = (50, 95, 99), *, warm_up: int = 0) -> Floats:
        """Percentiles of the latency, without the first `warm_up` requests."""
        check_int("warm_up", warm_up, least=0)
        if warm_up >= self.lengths.size:
            raise ValueError(f"warm_up must leave a request of {self.lengths.size}, got {warm_up}")
        for level in levels:
            check_number("levels", level, least=0.0, most=100.0)
        return np.asarray(np.percentile(self.latencies[warm_up:], levels))


def serve(
    pmf: npt.ArrayLike,
    cycle_costs: npt.ArrayLike,
    reply_lengths: npt.ArrayLike,
    *,
    rate: float,
    n_requests: int,
    rng: np.random.Generator,
    prefill_cost: float = 0.0,
) -> Service:
    r"""Simulate a server under Poisson arrivals, cycle by cycle, with continuous batching.

    Parameters
    ----------
    pmf : array_like, shape (most + 1,)
        ``pmf[i]``: chance that a cycle emits i tokens for one request; ``pmf[0]`` is 0. From
        `cscalc.token_law`, or the `pmf` of a tally.
    cycle_costs : array_like, shape (max_batch,), or float
        ``cycle_costs[b - 1]``: cost of a cycle with b requests running, > 0, in target passes
        or seconds. Its length is the largest batch; a number alone serves one by one.
    reply_lengths : array_like of int
        Lengths of replies, tokens >= 1; each request has one of them, at random.
    rate : float
        Mean arrivals per unit of time, > 0.
    n_requests : int
        Requests to serve, at least 1. The server is empty at first.
    rng : numpy.random.Generator
        Source of arrivals, lengths and tokens.
    prefill_cost : float
        Cost of reading a prompt, >= 0: it delays the cycle in which its request joins.

    Returns
    -------
    Service

    Raises
    ------
    TypeError
        If `rng` is not a generator.
    ValueError
        If `pmf` is not a law of emitted tokens, or a number is out of range.

    Notes
    -----
    Requests join in order of arrival, when a cycle begins and the batch has room, and leave
    when a cycle ends; the requests of a batch emit independently. With one at a time the server
    is an M/G/1 queue, whose mean wait is Pollaczek and Khinchine's
    :math:`\lambda E[S^2] / (2 (1 - \lambda E[S]))` for the time S that one reply takes
    (Kleinrock, "Queueing Systems", vol. 1, Wiley 1975, Eq. 5.70). The readable twin is
    `serve_slow`.

    Examples
    --------
    >>> served = serve([0, 0.2, 0.8], [1.2, 1.3, 1.4, 1.5], [10, 50], rate=0.05,
    ...                n_requests=1000, rng=np.random.default_rng(1))
    >>> served.utilisation < 1.0, 1.0 <= served.mean_batch <= 4.0
    (True, True)
    """
    from cscalc.simulate import _request_kernel  # numba loads here

    costs = _costs(cycle_costs)
    chances = _chances(pmf)
    arrivals, lengths = _draw(reply_lengths, rate, n_requests, rng)
    check_number("prefill_cost", prefill_cost, least=0.0)
    starts, finishes = np.empty(n_requests), np.empty(n_requests)
    busy, request_time = _request_kernel.run_server(
        arrivals, lengths, chances, costs, float(prefill_cost), starts, finishes, rng
    )
    return Service(arrivals, starts, finishes, lengths, busy, request_time)


def serve_slow(
    pmf: npt.ArrayLike,
    cycle_costs: npt.ArrayLike,
    reply_lengths: npt.ArrayLike,
    *,
    rate: float,
    n_requests: int,
    rng: np.random.Generator,
    prefill_cost: float = 0.0,
) -> Service:
    """Twin of `serve` in plain Python: the same service from the same generator.

    Examples
    --------
    >>> serve_slow([0, 1], 2.0, [3], rate=0.01, n_requests=1, rng=np.random.default_rng(1)).busy
    6.0
    """
    costs, chances = _costs(cycle_costs), _chances(pmf)
    arrivals, lengths = _draw(reply_lengths, rate, n_requests, rng)
    check_number("prefill_cost", prefill_cost, least=0.0)
    queue = deque(range(n_requests))
    left = lengths.tolist()  # tokens still to emit
    starts, finishes = np.empty(n_requests), np.empty(n_requests)
    batch: list[int] = []
    clock = busy = request_time = 0.0
    while queue or batch:
        if not batch:
            clock = max(clock, float(arrivals[queue[0]]))
        spent = 0.0
        while queue and len(batch) < costs.size and arrivals[queue[0]] <= clock:
            batch.append(queue.popleft())
            starts[batch[-1]] = clock
            spent += prefill_cost
        spent += float(costs[len(batch) - 1])
        clock += spent
        busy += spent
        request_time += len(batch) * spent
        for request in batch:
            left[request] -= int(np.searchsorted(chances, rng.random(), side="right"))
            finishes[request] = clock  # stands if this was its last cycle
        batch = [request for request in batch if left[request] > 0]
    return Service(arrivals, starts, finishes, lengths, busy, request_time)


def load_curve(
    pmf: npt.ArrayLike,
    cycle_costs: npt.ArrayLike,
    reply_lengths: npt.ArrayLike,
    rates: npt.ArrayLike,
    *,
    n_requests: int,
    rng: np.random.Generator,
    prefill_cost: float = 0.0,
    levels: Sequence[float] = (50, 95, 99),
    warm_up: float = 0.1,
) -> "xr.Dataset":
    """Throughput and latency percentiles of a server against its load.

    Parameters
    ----------
    pmf, cycle_costs, reply_lengths, n_requests, rng, prefill_cost
        As for `serve`; each rate sees the same random numbers, so that the curve is smooth.
    rates : array_like, shape (n_rates,)
        Arrivals per unit of time, each > 0.
    levels : sequence of float
        Percentiles of the latency, in [0, 100].
    warm_up : float
        Share of the requests, in [0, 1), that latencies leave out: the server is empty at first.

    Returns
    -------
    xarray.Dataset
        By rate: throughput, utilisation, mean batch, mean wait; by rate and percentile: latency.
        Beyond what the server can do the latencies grow with `n_requests`.

    Raises
    ------
    TypeError, ValueError
        As for `serve`.

    Examples
    --------
    >>> curve = load_curve([0, 0.2, 0.8], [1.2, 1.3], [10, 50], [0.01, 0.05], n_requests=1000,
    ...                    rng=np.random.default_rng(1))
    >>> curve["latency"].dims, bool(curve["throughput"][1] > curve["throughput"][0])
    (('rate', 'percentile'), True)
    """
    import xarray as xr

    check_generator(rng)
    arrivals = as_floats("rates", rates)
    if arrivals.ndim != 1 or arrivals.size == 0:
        raise ValueError(f"rates must be a vector, got shape {arrivals.shape}")
    if not 0.0 <= check_number("warm_up", warm_up) < 1.0:
        raise ValueError(f"warm_up must be a share in [0, 1), got {warm_up:g}")
    first = int(warm_up * check_int("n_requests", n_requests, least=1))
    stream = rng.spawn(1)[0]
    rows = [
        serve(
            pmf, cycle_costs, reply_lengths, rate=float(rate), n_requests=n_requests,
            rng=copy.deepcopy(stream), prefill_cost=prefill_cost,
        )
        for rate in arrivals
    ]  # fmt: skip
    latency = np.array([row.percentiles(levels, warm_up=first) for row in rows])
    by_rate = {
        "throughput": ([row.throughput for row in rows], "tokens / time"),
        "utilisation": ([row.utilisation for row in rows], "1"),
        "mean_batch": ([row.mean_batch for row in rows], "requests"),
        "mean_wait": ([float(row.waits[first:].mean()) for row in rows], "time"),
    }
    return xr.Dataset(
        {
            **{name: ("rate", one, {"units": unit}) for name, (one, unit) in by_rate.items()},
            "latency": (("rate", "percentile"), latency, {"units": "time"}),
        },
        {
            "rate": ("rate", arrivals, {"units": "requests / time"}),
            "percentile": ("percentile", list(levels), {"units": "%"}),
        },
        {"time": "in the unit of the cycle costs", "n_requests": n_requests},
    )


def _draw(
    reply_lengths: npt.ArrayLike, rate: float, n_requests: int, rng: np.random.Generator
) -> tuple[Floats, Ints]:
    """Arrival times and reply lengths, shape (n_requests,) each."""
    check_generator(rng)
    check_int("n_requests", n_requests, least=1)
    if not check_number("rate", rate, least=0.0) > 0.0:
        raise ValueError(f"rate must be > 0 arrivals per unit of time, got {rate:g}")
    known = check_lengths("reply_lengths", reply_lengths, least=1).astype(np.int64).ravel()
    if known.size == 0:
        raise ValueError("reply_lengths must hold at least one length in tokens, got none")
    arrivals = np.cumsum(rng.standard_exponential(n_requests)) / rate
    return arrivals, known[rng.integers(known.size, size=n_requests)]


def _costs(cycle_costs: npt.ArrayLike) -> Floats:
    costs = np.atleast_1d(check_costs("cycle_costs", cycle_costs))
    if costs.ndim != 1 or costs.size == 0 or not np.all(costs > 0.0):
        raise ValueError(
            f"cycle_costs must be > 0 for each batch of 1, 2, ... requests, got {cycle_costs!r}"
        )
    return np.ascontiguousarray(costs)


def _chances(pmf: npt.ArrayLike) -> Floats:
    """Chance of at most 0, 1, 2, ... tokens, shape (most + 1,); inf where it is all."""
    law = as_floats("pmf", pmf)
    if law.ndim != 1 or not np.all(law >= 0.0) or abs(law.sum() - 1.0) > 1e-9:
        raise ValueError(f"pmf must be >= 0 and sum to 1, got sum {law.sum():g}")
    if law[0] > 0.0:
        raise ValueError(f"pmf[0] must be 0, as a cycle emits a token at least; got {law[0]:g}")
    chances = np.cumsum(law)
    chances[np.flatnonzero(law)[-1] :] = np.inf  # rounding draws nothing beyond
    return chances
