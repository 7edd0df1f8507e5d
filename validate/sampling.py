"""From logits to the law that is decoded from, and draws from it.

Every law here is the one that is verified with: temperature, top-k, top-p and min-p applied,
for proposals, reviews, corrections and the bonus token alike. Greedy decoding is the case
temperature = 0, whose laws put all mass on one token.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from cscalc._checks import check_int, check_number
from validate import draws

COLDEST = 1e-6  # logits divided by less overflow float32


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a next token is drawn from logits.

    Attributes
    ----------
    temperature : float
        0 or >= 1e-6; 0 is greedy (the lowest index wins a tie).
    top_k : int or None
        Keep the `top_k` likeliest tokens (and ties with the last of them).
    top_p : float or None
        Keep the smallest set of likeliest tokens whose mass reaches `top_p`, in (0, 1] (and
        ties with the last of them).
    min_p : float or None
        Keep tokens with at least `min_p` times the likeliest token's mass, in [0, 1].
    repetition_penalty : float
        Logits of tokens that the text already holds are divided by this if positive and
        multiplied by it if negative (Keskar et al. 2019, arXiv:1909.05858); > 0, 1 is none.

    Notes
    -----
    The penalty comes first, the rest in this order, as in transformers' ``generate``.

    Examples
    --------
    >>> import torch
    >>> Sampling(temperature=0.0).law(torch.tensor([[0.0, 2.0, 1.0]])).dense()
    tensor([[0., 1., 0.]])
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, least=0.0)
        if 0.0 < self.temperature < COLDEST:
            raise ValueError(
                f"temperature must be 0 or >= {COLDEST:g}, got {self.temperature:g}: use 0 for "
                "greedy decoding"
            )
        if self.top_k is not None:
            check_int("top_k", self.top_k, least=1)
        if self.top_p is not None and check_number("top_p", self.top_p, 0.0, 1.0) == 0.0:
            raise ValueError("top_p must be > 0, got 0: use temperature=0 for greedy decoding")
        if self.min_p is not None:
            check_number("min_p", self.min_p, least=0.0, most=1.0)
        if check_number("repetition_penalty", self.repetition_penalty, least=0.0) == 0.0:
            raise ValueError("repetition_penalty must be > 0, got 0: use 1 for no penalty")

    @property
    def unscaled(self) -> bool:
        """Whether laws are those of temperature 1, not truncated."""
        cut = (self.top_k, self.top_p not in (None, 1.0), self.min_p)
        return self.temperature == 1.0 and not any(cut)

    def penalised(self, logits: Tensor, text: Sequence[int] | None) -> Tensor:
        """Logits after the repetition penalty; arguments as `law`."""
        if self.repetition_penalty == 1.0:
            return logits
        if text is None:
            raise ValueError("a repetition penalty needs the text that the logits follow")
        penalised = logits.clone()
        rows = logits.shape[0]
        for row in range(rows):
            seen = sorted(set(text[: len(text) - rows + 1 + row]))
            at = torch.tensor(seen, device=logits.device)
            old = logits[row, at]
            weaker = torch.where(
                old > 0, old / self.repetition_penalty, old * self.repetition_penalty
            )
            penalised[row, at] = weaker
        return penalised

    def law(self, logits: Tensor, text: Sequence[int] | None = None) -> "Laws":
        """Laws of the next token, one a row.

        Parameters
        ----------
        logits : Tensor, shape (rows, vocab_size)
        text : sequence of int, optional
            Row -1 follows all of it, row -2 all but its last token, and so on; read only by
            the repetition penalty.
        """
        logits = self.penalised(logits, text)
        if self.temperature == 0.0:
            return PointLaws(_likeliest(logits), logits.shape[-1], logits.dtype)
        if logits.dtype not in (torch.float32, torch.float64):
            logits = logits.float()
        if self.temperature != 1.0:
            logits = logits / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k, dim=-1).values[..., -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if self.top_p is not None and self.top_p < 1.0:
            logits = _keep_top_p(logits, self.top_p)
        probs = logits.softmax(dim=-1)
        if self.min_p:
            probs = probs.masked_fill(probs < self.min_p * probs.amax(dim=-1, keepdim=True), 0.0)
            probs = probs / probs.sum(dim=-1, keepdim=True)
        return DenseLaws(probs)

    def plain(self, logits: Tensor, text: Sequence[int] | None = None) -> Tensor:
        """Probabilities at temperature 1, not truncated, (rows, vocab); arguments as `law`."""
        logits = self.penalised(logits, text)
        if logits.dtype not in (torch.float32, torch.float64):
            logits = logits.float()
        return logits.softmax(dim=-1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
        }


def _likeliest(logits: Tensor) -> list[int]:
    """Index of the largest logit of each row, the lowest where several are."""
    if logits.device.type == "cpu" and logits.dtype in (torch.float32, torch.float64):
        return logits.detach().numpy().argmax(axis=-1).tolist()  # type: ignore[no-any-return]
    return logits.argmax(dim=-1).tolist()


def _keep_top_p(logits: Tensor, top_p: float) -> Tensor:
    if logits.device.type == "cpu":
        rows = logits.contiguous()
        least = draws.least_kept(rows.numpy(), rows.softmax(dim=-1).numpy(), top_p)
        return logits.masked_fill(logits < torch.from_numpy(least)[:, None], -torch.inf)
    ordered = logits.sort(dim=-1, descending=True).values
    upto = ordered.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
    place = (upto < top_p).sum(dim=-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    return logits.masked_fill(logits < ordered.gather(-1, place), -torch.inf)


class Law(Protocol):
    """The law of one token."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens that it is a law of."""
        ...

    def prob(self, token: int) -> float:
        """Probability of `token`."""
        ...

    def draw(self, uniform: float) -> int:
        """Token at `uniform` in [0, 1) of the cumulative law."""
        ...

    def dense(self) -> Tensor:
        """Probabilities, shape (vocab_size,)."""
        ...


class Laws(Protocol):
    """Laws of several tokens, one a row."""

    def __len__(self) -> int: ...
    def __getitem__(self, row: int) -> Law: ...
    def __iter__(self) -> Iterator[Law]: ...
    def dense(self) -> Tensor:
        """Probabilities, shape (rows, vocab_size)."""
        ...


@dataclass(frozen=True, slots=True)
class DenseLaw:
    """A law given by all its probabilities, shape (vocab_size,)."""

    probs: Tensor

    @property
    def vocab_size(self) -> int:
        return int(self.probs.shape[-1])

    def prob(self, token: int) -> float:
        return float(self.probs[token])

    def draw(self, uniform: float) -> int:
        return _invert(self.probs, uniform)

    def dense(self) -> Tensor:
        return self.probs


@dataclass(frozen=True, slots=True)
class PointLaw:
    """All mass on one token: greedy decoding, and every proposal of a one-shot draft."""

    token: int
    vocab_size: int
    dtype: torch.dtype = torch.float64

    def prob(self, token: int) -> float:
        return 1.0 if token == self.token else 0.0

    def draw(self, uniform: float) -> int:
        return self.token

    def dense(self) -> Tensor:
        probs = torch.zeros(self.vocab_size, dtype=self.dtype)
        probs[self.token] = 1.0
        return probs


@dataclass(frozen=True, slots=True)
class DenseLaws:
    """Rows of probabilities, shape (rows, vocab_size)."""

    probs: Tensor

    def __len__(self) -> int:
        return int(self.probs.shape[0])

    def __getitem__(self, row: int) -> DenseLaw:
        return DenseLaw(self.probs[row])

    def __iter__(self) -> Iterator[DenseLaw]:
        return (self[row] for row in range(len(self)))

    def dense(self) -> Tensor:
        return self.probs


@dataclass(frozen=True, slots=True)
class PointLaws:
    """Rows that each put all mass on one token."""

    tokens: list[int]
    vocab_size: int
    dtype: torch.dtype = torch.float64

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row: int) -> PointLaw:
        return PointLaw(self.tokens[row], self.vocab_size, self.dtype)

    def __iter__(self) -> Iterator[PointLaw]:
        return (self[row] for row in range(len(self)))

    def dense(self) -> Tensor:
        return torch.stack([law.dense() for law in self])


def _invert(probs: Tensor, uniform: float) -> int:
    """Smallest token whose cumulative probability exceeds `uniform` times the total."""
    if probs.device.type == "cpu":
        return int(draws.invert(probs.numpy(), uniform))
    index = torch.arange(len(probs), device=probs.device)
    at = torch.full((1,), uniform, dtype=torch.float64, device=probs.device)
    return int(draw(probs, at, index))  # the one wait for the device


def draw(weights: Tensor, uniform: Tensor, index: Tensor) -> Tensor:
    """Token at `uniform`, (1,), of the cumulative `weights`, (vocab_size,), which need no norm.

    `index` holds 0, 1, ... up to the vocabulary at least.

    Examples
    --------
    >>> draw(torch.tensor([0.5, 0.0, 1.5]), torch.tensor([0.3]), torch.arange(3))
    tensor([2])
    """
    ends = weights.cumsum(0, dtype=torch.float64)
    token = torch.searchsorted(ends, uniform.double() * ends[-1], right=True)
    last = torch.where(weights > 0.0, index[: len(weights)], 0).max()
    return torch.minimum(token, last)
