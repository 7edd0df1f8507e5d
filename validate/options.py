"""Options that all ways to write a text share, listed once."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from cscalc.cascade import Cascade, Draft, Review, walk
from cscalc.theory.deferral import DeferralRule
from cscalc.theory.lenience import Lenience
from validate.ending import Ending
from validate.models import Models
from validate.rules import Rules
from validate.sampling import Sampling

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How tokens are drawn and where a text ends; see `validate.generate`.

    Examples
    --------
    >>> TextOptions(max_tokens=8).max_tokens
    8
    """

    max_tokens: int = 64
    sampling: Sampling | None = None
    eos: Sequence[int] = ()
    stop: Sequence[str] = ()

    @property
    def drawn(self) -> Sampling:
        """The sampling that was asked for, or temperature 1."""
        return self.sampling or Sampling()

    def ending(self, models: Models) -> Ending:
        """What ends a text that `models` write."""
        return Ending.of(models, self.max_tokens, self.eos, self.stop)


@dataclass(frozen=True, kw_only=True)
class CascadeOptions(TextOptions):
    """What a cascade may be asked for besides; see `validate.generate`."""

    lenience: Lenience | Mapping[int, Lenience] | None = None
    confidence: float | Mapping[int, float] | None = None
    deferral: DeferralRule | Mapping[int, DeferralRule] | None = None

    def rules(self, cascade: Cascade, models: Models) -> Rules:
        """As `Rules`: one value stands for every model that it can apply to."""
        reviewing = {s.model for s in walk(cascade.drafts) if isinstance(s, Review)}
        drafting = {s.model for s in walk(cascade.drafts) if isinstance(s, Draft)}
        if isinstance(self.lenience, Lenience) and not reviewing:
            raise ValueError(f"lenience is for inner reviews, and {cascade} has none")
        return Rules(
            _by_model(self.lenience, reviewing),
            _by_model(self.deferral, {0}),
            _by_model(self.confidence, drafting - set(models.one_shot)),
        )


def takes(options: type) -> Callable[[F], F]:
    """Show the fields of `options` in the signature of a function that takes ``**options``.

    Examples
    --------
    >>> @takes(TextOptions)
    ... def write(prompt, *, generator, **options): ...
    >>> list(inspect.signature(write).parameters)
    ['prompt', 'generator', 'max_tokens', 'sampling', 'eos', 'stop']
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    shown = [
        inspect.Parameter(one.name, keyword, default=one.default, annotation=one.type)
        for one in fields(options)
    ]

    def mark(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind != p.VAR_KEYWORD]
        if len(own) == len(signature.parameters):
            raise ValueError(f"{function.__name__} takes no **options: add them")
        function.__signature__ = signature.replace(parameters=[*own, *shown])  # type: ignore[attr-defined]
        return function

    return mark


def _by_model(value: Any, numbers: set[int]) -> dict[int, Any]:
    if value is None:
        return {}
    return dict(value) if isinstance(value, Mapping) else dict.fromkeys(sorted(numbers), value)
