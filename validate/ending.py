"""What ends a text: an end token, a stop string, its length. Every decoder asks here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cscalc._checks import check_int
from validate.completion import Completion
from validate.models import Models

OnToken = Callable[[int], object]
NO_CHARACTER = "\ufffd"  # as which bytes show that are no character, or not yet


class Reader:
    """Text of a growing list of tokens, as far as a stop string may still lie in it.

    Only the last few tokens are decoded each time: those since the last one that ended on a
    whole character, and the ones that it came with, for a token may read otherwise at the front
    of a text.

    Parameters
    ----------
    tokenizer : object
        With a method ``decode``.
    keep : int
        Characters that are remembered, those that are sure not to change.
    """

    def __init__(self, tokenizer: Any, keep: int) -> None:
        self._tokenizer, self._keep = tokenizer, keep
        self._sure = ""
        self._start, self._read, self._old = 0, 0, ""  # tokens[start:read] read as `old`

    def read(self, tokens: list[int]) -> str:
        """The end of the text: what is remembered, and what the last tokens added."""
        fresh: str = self._tokenizer.decode(tokens[self._start :])
        text = self._sure + fresh[len(self._old) :]
        if len(fresh) > len(self._old) and not fresh.endswith(NO_CHARACTER):
            self._sure = text[len(text) - self._keep :] if len(text) > self._keep else text
            self._start, self._read = self._read, len(tokens)
            self._old = self._tokenizer.decode(tokens[self._start :])
        return text


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

    def __post_init__(self) -> None:
        check_int("max_tokens", self.max_tokens, least=1)
        for text in self.stop:
            if not isinstance(text, str) or not text:
                raise ValueError(f"a stop string must be non-empty text, got {text!r}")
        if self.stop and self.tokenizer is None:
            raise ValueError("stop strings need a tokenizer, and these models have none")

    @classmethod
    def of(
        cls, models: Models, max_tokens: int, eos: Sequence[int], stop: Sequence[str]
    ) -> "Ending":
        """The ending that options of `generate` describe."""
        return cls(max_tokens, frozenset(eos), _tuple_of_texts(stop), models.tokenizer)

    def stopped_by(self, run: Completion) -> str | None:
        """The stop string that the last token of `run` completed."""
        if not self.stop:
            return None
        if run.reader is None:
            run.reader = Reader(self.tokenizer, max(map(len, self.stop)) - 1)
        text = run.reader.read(run.tokens)
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
            run.stop = self.stopped_by(run)
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
