"""Compiled kernel of the request-level view; `cscalc.simulate.requests` holds its twin."""

import numpy as np
import numpy.typing as npt
from numba import njit

from cscalc._checks import Floats

Ints = npt.NDArray[np.int64]


@njit(cache=True)
def run_server(
    arrivals: Floats, lengths: Ints, chances: Floats, cycle_costs: Floats, prefill_cost: float,
    starts: Floats, finishes: Floats, rng: np.random.Generator,
) -> tuple[float, float]:  # fmt: skip
    """Serve all requests; fills in `starts` and `finishes`, returns busy and request time.

    arrivals, lengths : (n_requests,) in order of arrival
    chances : (most + 1,) chance that a cycle emits at most 0, 1, 2, ... tokens; ends with inf
    cycle_costs : (max_batch,) a cycle with 1, 2, ... requests running
    """
    who = np.empty(cycle_costs.size, np.int64)
    left = np.empty(cycle_costs.size, np.int64)
    running = waiting = 0  # requests in the batch; the first that has not joined it
    clock = busy = request_time = 0.0
    while waiting < arrivals.size or running > 0:
        if running == 0:
            clock = max(clock, arrivals[waiting])
        spent = 0.0
        while (
            running < cycle_costs.size and waiting < arrivals.size and arrivals[waiting] <= clock
        ):
            starts[waiting] = clock
            who[running], left[running] = waiting, lengths[waiting]
            running, waiting = running + 1, waiting + 1
            spent += prefill_cost
        spent += cycle_costs[running - 1]
        clock += spent
        busy += spent
        request_time += running * spent
        kept = 0
        for slot in range(running):
            u = rng.random()
            tokens = 0
            while u >= chances[tokens]:
                tokens += 1
            if tokens >= left[slot]:
                finishes[who[slot]] = clock
            else:
                who[kept], left[kept] = who[slot], left[slot] - tokens
                kept += 1
        running = kept
    return busy, request_time
