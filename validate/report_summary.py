"""A run in one line: speed-up over plain decoding, tokens per cycle, how many texts are equal."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from validate.gap import measured_of, sums_of
from validate.report_limits import FEW

RESAMPLES = 2000


def run_summary(records: Sequence[Mapping[str, Any]], *, seed: int = 0) -> dict[str, Any]:
    """What a run measured, as plain JSON.

    Parameters
    ----------
    records : sequence of mapping
        As `validate.run` returned them.
    seed : int
        Of the bootstrap over prompts.

    Returns
    -------
    dict
        "prompts"; "speedup" and "tokens_per_cycle" (all tokens over all cycles);
        "speedup_interval_95", or None for fewer than `FEW` prompts; "same_tokens": replies that
        are token by token those of plain decoding.

    Examples
    --------
    >>> plain = {"emitted": [1] * 6, "decode_seconds": 3.0}
    >>> cascade = {"emitted": [3, 3], "decode_seconds": 2.0}
    >>> found = run_summary([{"plain": plain, "cascade": cascade, "same_tokens": True}])
    >>> found["speedup"], found["tokens_per_cycle"], found["speedup_interval_95"]
    (1.5, 3.0, None)
    """
    if not records:
        raise ValueError("there are no run records: run the cascade first")
    sums = sums_of(records)  # (prompts, 5)
    found = measured_of(sums.sum(axis=0))
    interval = None
    if len(records) >= FEW:
        rng = np.random.default_rng(seed)
        picks = rng.integers(len(records), size=(RESAMPLES, len(records)))
        drawn = measured_of(sums[picks].sum(axis=1))["speedup"]
        interval = [float(x) for x in np.quantile(drawn, [0.025, 0.975])]
    return {
        "prompts": len(records),
        "speedup": float(found["speedup"]),
        "speedup_interval_95": interval,
        "tokens_per_cycle": float(found["tokens_per_cycle"]),
        "same_tokens": sum(bool(record["same_tokens"]) for record in records),
    }


def summary_line(found: Mapping[str, Any], *, greedy: bool) -> str:
    """The same as a sentence.

    Examples
    --------
    >>> found = {"prompts": 8, "speedup": 1.5, "speedup_interval_95": [1.25, 1.75],
    ...          "tokens_per_cycle": 2.5, "same_tokens": 8}
    >>> summary_line(found, greedy=True)
    '1.50 times plain decoding [1.25, 1.75], 2.50 tokens per cycle; 8 of 8 texts are the same'
    """
    interval = found["speedup_interval_95"]
    if interval is None:
        spread = f" (too few prompts for an interval: {found['prompts']} of {FEW})"
    else:
        spread = f" [{interval[0]:.2f}, {interval[1]:.2f}]"
    same = f"{found['same_tokens']} of {found['prompts']} texts are the same"
    if not greedy:
        same += ", as they may: replies are drawn at random"
    return (
        f"{found['speedup']:.2f} times plain decoding{spread}, "
        f"{found['tokens_per_cycle']:.2f} tokens per cycle; {same}"
    )
