"""Models behind one small protocol: tables and transformers alike; and a set of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from validate.cache import GrowingCache, synchronize
from validate.ngram import OneShotDraft


class Session(Protocol):
    """One sequence that a model has read; its cache rewinds without recomputing."""

    length: int  # tokens read
    positions: int  # tokens ever passed through the model, for counting

    def extend(self, tokens: Sequence[int], n_last: int) -> Tensor:
        """Read `tokens` in one pass; logits after each of the last `n_last`, (n_last, vocab)."""
        ...

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        ...


class LanguageModel(Protocol):
    """A causal language model, seen through its next-token logits."""

    name: str
    vocab_size: int
    max_positions: int  # tokens that one sequence may hold

    def start(self) -> Session:
        """Return a new, empty sequence."""
        ...


class TableModel:
    """Next-token logits from a table of the last `order` tokens; exact, for tests and teaching.

    Parameters
    ----------
    logits : Tensor, shape (vocab_size,) * order + (vocab_size,), float64
        ``logits[a, b]`` are the logits after ``..., a, b`` (order 2). Before there are
        `order` tokens, missing ones count as token 0.
    name : str
    """

    def __init__(
        self, logits: Tensor, *, name: str = "table", max_positions: int = 1 << 20
    ) -> None:
        if len(set(logits.shape)) != 1:
            raise ValueError(
                f"a table needs equal axes, (vocab_size,) * n, got {tuple(logits.shape)}"
            )
        self.logits = logits
        self.name = name
        self.order = logits.ndim - 1
        self.vocab_size = int(logits.shape[-1])
        self.max_positions = max_positions

    def after(self, tokens: Sequence[int]) -> Tensor:
        """Logits after `tokens`, shape (vocab_size,)."""
        padded = [0] * self.order + list(tokens)
        context = tuple(padded[len(padded) - self.order :])
        return self.logits[context]

    def start(self) -> "TableSession":
        return TableSession(self)


class After(Protocol):
    """A model that says its logits after any tokens, at no cost worth a cache."""

    def after(self, tokens: Sequence[int]) -> Tensor:
        """Logits after `tokens`, shape (vocab_size,)."""
        ...


class TableSession:
    """A sequence read by a `TableModel`, or by another model that keeps no cache."""

    def __init__(self, model: After) -> None:
        self._model = model
        self._tokens: list[int] = []
        self.positions = 0

    @property
    def length(self) -> int:
        return len(self._tokens)

    def extend(self, tokens: Sequence[int], n_last: int) -> Tensor:
        self._tokens.extend(tokens)
        self.positions += len(tokens)
        size = len(self._tokens)
        ends = range(size - n_last + 1, size + 1)
        return torch.stack([self._model.after(self._tokens[:end]) for end in ends])

    def rewind(self, length: int) -> None:
        del self._tokens[length:]


class TransformersModel:
    """A causal language model of transformers, on any device.

    Parameters
    ----------
    module : transformers.PreTrainedModel
        In evaluation mode; its device and dtype are kept.
    name : str

    Raises
    ------
    ValueError
        If passes over a growing cache of keys and values, after going back in it, do not give
        the logits of one whole pass (state-space and hybrid models; some very old ones).
    """

    def __init__(self, module: Any, *, name: str) -> None:
        self.module = module.eval()
        self.name = name
        config = module.config.get_text_config()
        self.vocab_size = int(config.vocab_size)
        self.max_positions = _context(config)
        _check_cache(self)

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.module.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = next(self.module.parameters()).dtype
        return dtype

    def start(self) -> Session:
        return TransformersSession(self)


def _context(config: Any) -> int:
    """Positions that a model may hold; of one whose rope changes with the length, until it does.

    Under longrope all keys would have to be turned again when a text outgrows the original
    context, and those in a cache are not.
    """
    most = int(getattr(config, "max_position_embeddings", 1 << 20))
    for name in ("rope_parameters", "rope_scaling"):
        rope = getattr(config, name, None) or {}
        if isinstance(rope, Mapping) and rope.get("rope_type", rope.get("type")) == "longrope":
            original = rope.get("original_max_position_embeddings")
            original = original or getattr(config, "original_max_position_embeddings", None)
            most = min(most, int(original or most))
    return most


def _check_cache(model: TransformersModel) -> None:
    tokens = trial_tokens(model)
    half = (len(tokens) + 1) // 2
    refusal = (
        f"{model.name} ({type(model.module).__name__}) does not read a text through a growing "
        "cache of keys and values as it reads it whole, so what it writes would be wrong: only "
        "causal models with attention in every layer can be decoded"
    )
    with refused(refusal):
        with torch.inference_mode():
            ids = torch.tensor([tokens], device=model.device)
            whole = model.module(input_ids=ids, use_cache=False).logits[0]
        session = TransformersSession(model)
        found = [session.extend(tokens[:half], half)]
        if len(tokens) > half:
            session.extend(tokens[:1], 1)
            session.rewind(half)
            found.append(session.extend(tokens[half:], len(tokens) - half))
    if not near(torch.cat(found), whole, model.dtype):
        raise ValueError(refusal)


def trial_tokens(model: LanguageModel) -> list[int]:
    """A few tokens on which it is tried whether a model reads as it should."""
    return [(3 * i + 1) % model.vocab_size for i in range(min(7, model.max_positions))]


@contextmanager
def refused(refusal: str) -> Iterator[None]:
    """Raise ValueError(refusal) where a trial fails; a full device is another matter."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError, LookupError, AttributeError) as error:
        raise ValueError(refusal) from error


def near(
    found: Tensor,
    expected: Tensor,
    dtype: torch.dtype,
    least: float = torch.finfo(torch.float32).eps,
) -> bool:
    """Whether logits of the same text agree but for rounding, (positions, vocab_size).

    Rounding of `dtype`, the model's own, for some models cast their logits to a wider one; but
    of `least` at least: in float64 too, some take norms and softmax in float32.
    """
    spread = expected - expected.mean(dim=-1, keepdim=True)
    eps = min(max(torch.finfo(dtype).eps, least), 1e-4)
    within = 2000.0 * eps * max(float(spread.abs().max()), 1.0)
    return bool(float((found - expected).abs().max()) <= within)


class TransformersSession:
    """A sequence read by a `TransformersModel`, with a cache that grows in place."""

    def __init__(self, model: TransformersModel) -> None:
        self._model = model
        self._cache = GrowingCache()
        self._device = model.device
        self.length = 0
        self.positions = 0

    @torch.inference_mode()
    def extend(self, tokens: Sequence[int], n_last: int) -> Tensor:
        ids = torch.tensor([tokens], dtype=torch.int64, device=self._device)  # (1, new)
        output = self._model.module(
            input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=n_last
        )
        self.length += len(tokens)
        self.positions += len(tokens)
        logits: Tensor = output.logits[0]
        return logits

    def rewind(self, length: int) -> None:
        if length < self.length:
            self._cache.rewind(length)
            self.length = length


@dataclass(frozen=True, eq=False)
class Models(Mapping[int, LanguageModel | OneShotDraft]):
    """The target (0) and its drafts (1..n, from dear to cheap), with their tokenizer.

    Attributes
    ----------
    language : dict of int -> LanguageModel
        The target and the autoregressive drafts.
    one_shot : dict of int -> OneShotDraft
        Statistical drafts.
    tokenizer : object or None
        A transformers tokenizer; None where tokens are made by hand.
    """

    language: dict[int, LanguageModel]
    one_shot: dict[int, OneShotDraft] = field(default_factory=dict)
    tokenizer: Any = None

    def __post_init__(self) -> None:
        numbers = sorted([*self.language, *self.one_shot])
        if numbers != list(range(len(numbers))) or 0 not in self.language:
            raise ValueError(
                f"models must be numbered 0 (the target), 1, 2, ...; got {sorted(self.language)} "
                f"and one-shot {sorted(self.one_shot)}"
            )
        target = self.language[0]
        for number, model in self.items():
            if model.vocab_size != target.vocab_size:
                raise ValueError(
                    f"{model.name} has {model.vocab_size} tokens, but the target {target.name} "
                    f"has {target.vocab_size}: draft and target must share one tokenizer"
                )
            if number in self.one_shot and number in self.language:
                raise ValueError(f"model {number} is given twice")

    @classmethod
    def of(
        cls, target: LanguageModel, *drafts: LanguageModel | OneShotDraft, tokenizer: Any = None
    ) -> "Models":
        """Number the models in the order given."""
        language: dict[int, LanguageModel] = {0: target}
        one_shot: dict[int, OneShotDraft] = {}
        for number, draft in enumerate(drafts, start=1):
            if hasattr(draft, "propose") and not hasattr(draft, "start"):
                one_shot[number] = draft
            else:
                language[number] = draft  # type: ignore[assignment]
        return cls(language, one_shot, tokenizer)

    def __getitem__(self, number: int) -> LanguageModel | OneShotDraft:
        return self.language[number] if number in self.language else self.one_shot[number]

    def __iter__(self) -> Iterator[int]:
        return iter(sorted([*self.language, *self.one_shot]))

    def __len__(self) -> int:
        return len(self.language) + len(self.one_shot)

    @property
    def target(self) -> LanguageModel:
        return self.language[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of models 0..n."""
        return tuple(self[number].name for number in self)

    @property
    def vocab_size(self) -> int:
        return self.target.vocab_size

    @property
    def device(self) -> torch.device:
        """Device of the target; the CPU for models without one."""
        return getattr(self.target, "device", torch.device("cpu"))

    def synchronize(self) -> None:
        """Wait until the target's device is idle."""
        synchronize(self.device)
