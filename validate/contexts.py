"""What depends on the length of the context: cost of a draft's pass, and of verification.

A pass reads the keys and values of the whole text before it. The target has more of them than
a small draft, so with a longer context drafts become relatively cheaper, or dearer where their
passes were launch-bound; `at_context` carries that into a profile.
"""

import time
from collections.abc import Callable, Sequence
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from cscalc._checks import check_int
from cscalc.profile import Profile
from validate.models import Models
from validate.packing import PackedLinear
from validate.sampling import Sampling
from validate.timing import measure_passes

WIDTHS = (1, 4, 8)  # positions of the passes that are timed at every context length


def measure_contexts(
    models: Models,
    text: Sequence[int],
    lengths: Sequence[int],
    *,
    widths: Sequence[int] = WIDTHS,
    repeats: int = 5,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Time passes after contexts of several lengths.

    Parameters
    ----------
    models : Models
    text : sequence of int
        Repeated until it is long enough.
    lengths : sequence of int
        Context lengths in tokens; the target must hold each, with the widest pass behind it.
    widths : sequence of int
        Positions of a pass; 1 must be among them.
    repeats, seed : int
        As in `validate.timing.measure_passes`.
    progress : callable
        Called with the number of lengths done.

    Returns
    -------
    dict
        "lengths"; "widths"; "seconds": model -> one list a length of the median seconds of a
        pass of each width, or None where the model does not hold that context.

    Examples
    --------
    >>> from validate.models import TableModel
    >>> models = Models.of(TableModel(torch.zeros(2, 2)), TableModel(torch.zeros(2, 2)))
    >>> found = measure_contexts(models, [0, 1], [4, 8], repeats=1)
    >>> found["lengths"], [len(row) for row in found["seconds"]["1"]]
    ([4, 8], [3, 3])
    """
    if not text:
        raise ValueError("there is no text to fill the context with: give at least one token")
    chosen = check_contexts(models, lengths, widths)
    widest = max(widths)
    seconds: dict[str, list[list[float] | None]] = {str(n): [] for n in models.language}
    for done, length in enumerate(chosen):
        progress(done)
        fits = {n: m for n, m in models.language.items() if length + widest <= m.max_positions}
        filled = [text[i % len(text)] for i in range(length)]
        part: Any = SimpleNamespace(language=fits, synchronize=models.synchronize)
        timed = measure_passes(part, filled, positions=widths, repeats=repeats, seed=seed)
        for number, rows in seconds.items():
            by = timed.get(number)
            rows.append(None if by is None else [_median(by[str(m)]) for m in widths])
    progress(len(chosen))
    return {"lengths": chosen, "widths": list(widths), "seconds": seconds}


def check_contexts(
    models: Models, lengths: Sequence[int], widths: Sequence[int] = WIDTHS
) -> list[int]:
    """Lengths in order, each once; ValueError if the target does not hold one of them."""
    chosen = sorted({check_int("contexts", length, least=1) for length in lengths})
    for length in chosen:
        if length + max(widths) > models.target.max_positions:
            raise ValueError(
                f"a context of {length} tokens with a pass over {max(widths)} does not fit "
                f"{models.target.name}, which holds {models.target.max_positions}: leave it out"
            )
    return chosen


def _median(repeats: Sequence[Sequence[float]]) -> float:
    return median(x for times in repeats for x in times)


def measure_sampling(
    models: Models, sampling: Sampling, *, widths: Sequence[int] = (1, 8), repeats: int = 20
) -> dict[str, float]:
    """Median seconds to turn logits of so many positions into laws, test each and draw one.

    Examples
    --------
    >>> from validate.models import TableModel
    >>> sorted(measure_sampling(Models.of(TableModel(torch.zeros(2, 2))), Sampling()))
    ['1', '8']
    """
    generator = torch.Generator().manual_seed(0)
    dtype = getattr(models.target, "dtype", torch.float32)
    found = {}
    for width in widths:
        drawn = 3.0 * torch.randn(width, models.vocab_size, generator=generator)
        logits = drawn.to(device=models.device, dtype=dtype)
        spent = []
        for repeat in range(repeats + 1):
            text = [repeat % models.vocab_size] * 64
            models.synchronize()
            began = time.perf_counter()
            laws = sampling.law(logits, text)
            for row in range(width):
                laws[row].prob(0)
            laws[width - 1].draw(0.5)
            models.synchronize()
            spent.append(time.perf_counter() - began)
        found[str(width)] = median(spent[1:])
    return found


def parameters(models: Models) -> dict[str, int]:
    """Parameters of every model that is a torch module; a packed output layer counts on its own.

    Examples
    --------
    >>> from validate.models import TableModel
    >>> parameters(Models.of(TableModel(torch.zeros(2, 2))))
    {}
    """
    found = {}
    for number, model in models.language.items():
        module = getattr(model, "module", None)
        if module is not None:
            packed = (x for x in module.modules() if isinstance(x, PackedLinear))
            count = sum(weight.numel() for weight in module.parameters())
            found[str(number)] = count + sum(x.out_features * x.in_features for x in packed)
    return found


def at_context(profile: Profile, length: int) -> Profile:
    """Costs and verification curves of `profile` for another context length.

    Parameters
    ----------
    profile : Profile
        Measured with ``contexts=...``.
    length : int
        Tokens of context, within the measured lengths.

    Returns
    -------
    Profile
        Costs are scaled by how the ratio of pass times changes from the contexts that the
        profile was measured at (their mean), V(m) - 1 likewise; between measured lengths and
        widths linearly. Acceptance rates stay as they are.

    Raises
    ------
    ValueError
        If no contexts were measured, `length` lies outside of them, or a draft does not hold
        so much.

    Examples
    --------
    >>> facts = {"contexts": [100], "by_context": {
    ...     "lengths": [100, 300], "widths": [1, 8],
    ...     "seconds": {"0": [[1.0, 1.5], [2.0, 4.0]], "1": [[0.2, 0.2], [0.2, 0.2]]}}}
    >>> base = Profile([0.8], [0.2], verify=[1.0, 1.5], measurement=facts)
    >>> far = at_context(base, 300)
    >>> float(far.costs[0]), far.pass_cost(0, 2)
    (0.1, 2.0)
    """
    facts = profile.measurement or {}
    known = facts.get("by_context")
    if not known:
        raise ValueError("no context lengths were measured: measure with contexts=(128, 1024)")
    lengths = known["lengths"]
    check_int("length", length, least=1)
    if not lengths[0] <= length <= lengths[-1]:
        raise ValueError(
            f"length must lie within the measured contexts {lengths[0]} to {lengths[-1]}, got "
            f"{length}: measure with that context"
        )
    here = float(np.clip(np.mean(facts["contexts"]), lengths[0], lengths[-1]))
    there = float(length)
    costs = np.array(profile.costs)
    verify: dict[int, Any] = dict(profile.verify)
    for number in range(profile.n_drafts + 1):
        if str(number) not in known["seconds"]:  # a one-shot draft: its call reads no cache
            costs[number - 1] *= _seconds(known, 0, here)[0] / _seconds(known, 0, there)[0]
            continue
        now, then = (_seconds(known, number, x) for x in (here, there))
        if number:
            unit = _seconds(known, 0, here)[0], _seconds(known, 0, there)[0]
            costs[number - 1] *= (then[0] / unit[1]) / (now[0] / unit[0])
        if number in verify and not callable(verify[number]):
            verify[number] = _rescaled(verify[number], known["widths"], now, then)
    return Profile(
        profile.alphas, costs, one_shot=profile.one_shot, verify=verify, names=profile.names,
        measurement={**facts, "context": length}, acceptance=profile.acceptance,
    )  # fmt: skip


def _seconds(known: dict[str, Any], number: int, length: float) -> np.ndarray:
    """Seconds of a pass of each width at a context length, by linear interpolation."""
    rows = known["seconds"][str(number)]
    held = [(at, row) for at, row in zip(known["lengths"], rows, strict=True) if row is not None]
    if not held or length > held[-1][0]:
        raise ValueError(f"model {number} does not hold a context of {length:.0f} tokens")
    at = [one[0] for one in held]
    columns = zip(*(one[1] for one in held), strict=True)
    return np.array([np.interp(length, at, column) for column in columns])


def _rescaled(curve: Any, widths: Sequence[int], now: np.ndarray, then: np.ndarray) -> list[float]:
    """V(m) with V(m) - 1 scaled as it changes at the timed widths; V(1) = 1."""
    extra = [x[1:] / x[0] - 1.0 for x in (now, then)]
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(extra[0] > 0.01, extra[1] / extra[0], 1.0)  # nothing to scale
    added = np.where(extra[0] > 0.01, 0.0, extra[1] - extra[0])
    m = np.arange(1, len(curve) + 1)
    scaled = 1.0 + (np.asarray(curve) - 1.0) * np.interp(m, widths[1:], factors)
    scaled += np.interp(m, widths[1:], added)
    scaled[0] = 1.0
    return [float(x) for x in np.maximum(scaled, 0.05)]
