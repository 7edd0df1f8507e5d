"""Greedy text of a cascade beside plain greedy text, in any dtype: equal, a near-tie, or wrong.

A reviewing pass over several positions rounds differently from one pass a token, because the
kernels add in another order. In float32 that hardly ever changes which logit is largest; in
bfloat16 two tokens are often equal up to rounding, and either is the target's greedy choice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from cscalc.cascade import Cascade
from validate.decode import generate
from validate.models import LanguageModel, Models
from validate.sampling import Sampling

# Units of eps * |largest logit| by which the gap of two logits may differ between passes of
# different width. Measured on SmolLM2-135M and its drafts (30, 2 and 1 layers; widths 2, 4 and
# 8 against 1): up to 1.3 in bfloat16, whose sums run in float32, and up to 11.5 in float32.
UNITS_16_BIT = 4.0
UNITS = 32.0


class Written(Protocol):
    """What a decoder wrote: `validate.Completion`, or anything with these fields."""

    tokens: list[int]
    emitted: list[int]  # tokens of each cycle, before the last one is cut to length
    reviewed: list[int]  # proposals in front of the target in each cycle


Decode = Callable[..., Written]  # called as `validate.generate` is


@dataclass(frozen=True, slots=True)
class GreedyCheck:
    """Greedy text of a cascade compared with plain greedy text on one prompt.

    Attributes
    ----------
    tokens : int
        Tokens compared.
    dtype : str
        Of the target's logits.
    position : int or None
        First token that differs, counted from 0; None if all are equal. The other fields
        speak of that place, and are None or 0 if there is none.
    plain_token, cascade_token : int or None
        What each wrote.
    plain_margin, review_margin : float
        Largest logit minus the second in the pass over one position, and in the reviewing
        pass.
    change : float
        By how much the gap of the two tokens' logits differs between these passes.
    bound : float
        The largest change that rounding explains: 4 units (16-bit dtypes) or 32 units of
        eps times the largest logit.
    worst : float
        How far below the top the two tokens, and every later token of the cascade, ever lie,
        in units of the bound at their place: at most 1 if rounding explains all.

    Examples
    --------
    >>> check = GreedyCheck(9, "bfloat16", 4, 7, 8, 0.0, 0.125, 0.125, 0.5, worst=0.25)
    >>> check.equal, check.passed
    (False, True)
    """

    tokens: int
    dtype: str
    position: int | None = None
    plain_token: int | None = None
    cascade_token: int | None = None
    plain_margin: float = 0.0
    review_margin: float = 0.0
    change: float = 0.0
    bound: float = 0.0
    worst: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether both texts are the same."""
        return self.position is None

    @property
    def passed(self) -> bool:
        """Whether the texts are equal, or part at a tie within rounding."""
        return self.equal or self.worst <= 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        fields = (
            "tokens", "dtype", "position", "plain_token", "cascade_token", "plain_margin",
            "review_margin", "change", "bound", "worst",
        )  # fmt: skip
        return {**{name: getattr(self, name) for name in fields}, "passed": self.passed}

    def __str__(self) -> str:
        if self.equal:
            return f"all {self.tokens} tokens equal"
        where = (
            f"token {self.position} differs ({self.plain_token} plainly, {self.cascade_token} by "
            f"the cascade): leads of {self.plain_margin:.3g} and {self.review_margin:.3g} in the "
            f"two passes, rounding of {self.dtype} reaches {self.bound:.3g}"
        )
        if self.passed:
            return f"{where}: a tie within rounding"
        return f"{where}: not explained, {self.worst:.3g} times too far apart"


def compare_greedy(
    cascade: Cascade,
    models: Models,
    prompt: Sequence[int],
    *,
    max_tokens: int = 64,
    sampling: Sampling | None = None,
    decode: Decode = generate,
    options: Mapping[str, Any] | None = None,
) -> GreedyCheck:
    """Decode greedily with the cascade and plainly; where they part, say whether it is a tie.

    Parameters
    ----------
    cascade : Cascade
    models : Models
    prompt : sequence of int
    max_tokens : int
        Tokens to compare.
    sampling : Sampling, optional
        With temperature 0; default greedy without a penalty.
    decode : callable
        The decoder under test; `validate.generate` if not given.
    options : mapping, optional
        Further arguments of the decoder for the cascade, not for plain decoding.

    Returns
    -------
    GreedyCheck

    Notes
    -----
    At the first difference both computations are run again as the decoders ran them: passes
    over one position, and passes as wide as the cascade's reviews. Both tokens must lie
    within the bound of the largest logit in both. From there on the texts are different
    questions, so the rest of the cascade's text is read by the target in one pass, and each
    token must lie within the bound of the largest logit there.

    Examples
    --------
    >>> import torch
    >>> from cscalc.cascade import Draft
    >>> from validate.models import TableModel
    >>> target = TableModel(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> models = Models.of(target, TableModel(torch.zeros(2, 2)))
    >>> print(compare_greedy(Cascade((Draft(1, 2),)), models, [0], max_tokens=8))
    all 8 tokens equal
    """
    sampling = sampling or Sampling(0.0)
    if sampling.temperature != 0.0:
        raise ValueError(f"greedy texts need temperature 0, got {sampling.temperature:g}")
    plain, ours = (
        decode(
            one, models, list(prompt), generator=torch.Generator(), max_tokens=max_tokens,
            sampling=sampling, **more,
        )
        for one, more in ((Cascade(()), {}), (cascade, options or {}))
    )  # fmt: skip
    first = _first_difference(plain.tokens, ours.tokens)
    if first is None:
        kind = _logits(models.target, prompt[-1:], 1).dtype
        return GreedyCheck(len(ours.tokens), _name(kind))
    narrow = _narrow(models.target, prompt, plain.tokens, first)
    wide = _wide(models.target, prompt, ours, first)
    text = [*prompt, *ours.tokens[:first]]
    pair = torch.tensor([plain.tokens[first], ours.tokens[first]])
    passes = [
        sampling.penalised(row[None].double().cpu(), text)[0] for row in (narrow, wide)
    ]  # (vocab_size,) each
    bound = max(rounding(row, narrow.dtype) for row in passes)
    gaps = [row[pair[0]] - row[pair[1]] for row in passes]
    worst = max(float((row.max() - row[pair]).max()) for row in passes) / bound
    after = [*text, ours.tokens[first]]
    worst = max(worst, _worst_after(models.target, after, ours.tokens[first + 1 :], sampling))
    return GreedyCheck(
        len(ours.tokens), _name(narrow.dtype), first, int(pair[0]), int(pair[1]),
        _lead(passes[0]), _lead(passes[1]), abs(float(gaps[0] - gaps[1])), bound, worst,
    )  # fmt: skip


def rounding(logits: Tensor, dtype: torch.dtype) -> float:
    """Largest difference of two logits' gap between passes that rounding in `dtype` explains."""
    info = torch.finfo(dtype)
    units = UNITS_16_BIT if info.bits == 16 else UNITS
    finite = logits[torch.isfinite(logits)]
    return units * float(info.eps) * float(finite.abs().max())


def _first_difference(a: Sequence[int], b: Sequence[int]) -> int | None:
    if len(a) != len(b):  # both ran to the same length: a shorter one lost tokens
        raise ValueError(f"plain decoding wrote {len(a)} tokens, the cascade {len(b)}")
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), None)


def _logits(model: LanguageModel, tokens: Sequence[int], n_last: int) -> Tensor:
    return model.start().extend(list(tokens), n_last)


def _narrow(model: LanguageModel, prompt: Sequence[int], tokens: Sequence[int], at: int) -> Tensor:
    """Logits of token `at` as plain decoding computes them, one position a pass."""
    session = model.start()
    if len(prompt) > 1:
        session.extend(list(prompt[:-1]), 1)
    for token in [prompt[-1], *tokens[:at]]:
        row = session.extend([token], 1)[0]
    return row


def _wide(model: LanguageModel, prompt: Sequence[int], run: Written, at: int) -> Tensor:
    """Logits of token `at` in a pass as wide as the cascade's review that wrote it.

    Rejected proposals are not recorded; another token in their place changes no position
    before it and keeps the width.
    """
    session = model.start()
    if len(prompt) > 1:
        session.extend(list(prompt[:-1]), 1)
    last, start = prompt[-1], 0
    for emitted, reviewed in zip(run.emitted, run.reviewed, strict=True):
        ahead = run.tokens[start : start + reviewed]
        ahead += [last] * (reviewed - len(ahead))
        rows = session.extend([last, *ahead], reviewed + 1)
        if at < start + emitted:
            return rows[at - start]
        start += emitted
        last = run.tokens[start - 1]
        session.rewind(len(prompt) - 1 + start)
    raise ValueError(f"the cycles hold {start} tokens, so none of them wrote token {at}")


def _worst_after(
    model: LanguageModel, text: Sequence[int], tokens: Sequence[int], sampling: Sampling
) -> float:
    """How far the tokens after `text` lie below the top at most, in units of the bound."""
    if not tokens:
        return 0.0
    logits = _logits(model, [*text, *tokens[:-1]], len(tokens))
    dtype = logits.dtype
    rows = sampling.penalised(logits.double().cpu(), [*text, *tokens[:-1]])
    below = rows.amax(dim=-1) - rows.gather(-1, torch.tensor(list(tokens))[:, None])[:, 0]
    bounds = torch.tensor([rounding(row, dtype) for row in rows], dtype=torch.float64)
    return float((below / bounds).max())


def _lead(row: Tensor) -> float:
    first, second = row.topk(2).values
    return float(first - second)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
