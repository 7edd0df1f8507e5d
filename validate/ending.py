"""What ends a text: an end token, a stop string, its length. Every decoder asks here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cscalc._checks import check_int
from validate.completion import Completion
from validate.models import Models

OnToken = Callable[[int], object]


@dataclass(frozen=True, eq=False)
class Ending:
    """What ends a text.

    Attributes
    ----------
    max_tokens : int
        Most tokens to write.
    eos : frozenset of int
        Tokens that end the text, and stay in it.
    stop : tuple of str
        Strings that end the text where they are first complete, and stay in it.
    tokenizer : object or None
        Stop strings need one.

    Examples
    --------
    >>> ending, run = Ending(8, frozenset({5})), Completion()
    >>> ending.take(run, [1, 2], reviewed=3), ending.take(run, [4, 5, 6], reviewed=3)
    (([1, 2], False), ([4, 5], True))
    >>> run.tokens, run.emitted, run.finish
    ([1, 2, 4, 5], [2, 3], 'eos')
    """

    max_tokens: int
    eos: frozenset[int]
    stop: tuple[str, ...] = ()
    tokenizer: Any = None
    tail: int = field(init=False, default=0)  # tokens in which a stop string surely lies

    def __post_init__(self) -> None:
        check_int("max_tokens", self.max_tokens, least=1)
        for text in self.stop:
            if not isinstance(text, str) or not text:
                raise ValueError(f"a stop string must be non-empty text, got {text!r}")
        if self.stop and self.tokenizer is None:
            raise ValueError("stop strings need a tokenizer, and these models have none")
        longest = max((len(text.encode()) for text in self.stop), default=0)
        object.__setattr__(self, "tail", longest + 3)  # 3: a character cut in two

    @classmethod
    def of(
        cls, models: Models, max_tokens: int, eos: Sequence[int], stop: Sequence[str]
    ) -> "Ending":
        """The ending that options of `generate` describe."""
        return cls(max_tokens, frozenset(eos), _tuple_of_texts(stop), models.tokenizer)

    def stopped_by(self, tokens: list[int]) -> str | None:
        """The stop string that the last token completed."""
        if not self.stop:
            return None
        text = self.tokenizer.decode(tokens[-self.tail :])
        return next((stop for stop in self.stop if stop in text), None)

    def take(
        self, run: Completion, emitted: list[int], *, reviewed: int
    ) -> tuple[list[int], bool]:
        """Write down what a cycle emitted.

        Parameters
        ----------
        run : Completion
            Gets the cycle, its tokens up to the end of the text, and why the text ended.
        emitted : list of int
        reviewed : int
            Proposals in front of the target.

        Returns
        -------
        tuple of (list of int, bool)
            The tokens up to the end of the text, and whether it has ended.
        """
        run.emitted.append(len(emitted))
        run.reviewed.append(reviewed)
        for i, token in enumerate(emitted):
            run.tokens.append(token)
            run.stop = self.stopped_by(run.tokens)
            ended = token in self.eos or run.stop is not None
            if ended or len(run.tokens) == self.max_tokens:
                run.finish = "eos" if token in self.eos else "stop" if run.stop else "length"
                return emitted[: i + 1], True
        return emitted, False


def hand_out(tokens: Iterable[int], on_token: OnToken | None) -> None:
    """Take all tokens of a stream, and call `on_token`, if there is one, with each."""
    for token in tokens:
        if on_token is not None:
            on_token(token)


def _tuple_of_texts(stop: Sequence[str]) -> tuple[str, ...]:
    if isinstance(stop, str):  # which is a sequence of letters
        raise TypeError(f"stop must be a sequence of strings, got {stop!r}: write ({stop!r},)")
    return tuple(stop)
