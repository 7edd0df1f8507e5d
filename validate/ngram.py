"""One-shot drafts that look up the text itself: Max-Gram and prompt lookup.

A one-shot draft proposes many tokens in one call: its law is one-hot. Nothing here needs torch.
"""

from collections.abc import Sequence
from typing import Protocol

from cscalc._checks import check_int
from validate.suffix import FirstPlaces, SuffixAutomaton, follow


class OneShotDraft(Protocol):
    """A draft that proposes up to `length` tokens in one call."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def vocab_size(self) -> int:
        """Token ids lie in 0..vocab_size - 1."""

    def propose(self, tokens: Sequence[int], length: int) -> list[int]:
        """Propose up to `length` tokens to follow `tokens`; [] means that it abstains.

        The answer depends on `tokens` and `length` alone, never on earlier calls.
        """


class MaxGram:
    """Propose what followed the longest earlier match of the text's end.

    Max-Gram of CS Drafting (Chen et al., arXiv 2312.11462, Listing 1): find the longest suffix
    of the text (prompt and generated tokens alike) that also ends at an earlier token, take
    its *first* earlier place, and propose the tokens that follow it there. The proposals are
    tokens that exist in the text: fewer than `length` where the match lies close to the end
    (never padded, never continued with copies of themselves), none if the last token is new.

    The text is remembered between calls in a suffix automaton, and a call pays only for what
    changed at the end of it: constant time amortised for a token added, and for a token taken
    back no more than adding it had cost. (One token that ends a run of n equal tokens costs n
    steps, each time it is added.) So keep one object for each sequence that is decoded.

    Parameters
    ----------
    vocab_size : int
        Number of tokens, >= 1; a token outside 0..vocab_size - 1 is refused.

    Examples
    --------
    >>> draft = MaxGram(vocab_size=10)
    >>> draft.propose([1, 2, 3, 4, 9, 2, 3], length=2)
    [4, 9]
    >>> draft.propose([1, 2, 3, 4, 9, 2, 3, 5], length=2)
    []
    """

    def __init__(self, vocab_size: int) -> None:
        self.name = "max-gram"
        self.vocab_size = check_int("vocab_size", vocab_size, 1)
        self._text = SuffixAutomaton()

    def propose(self, tokens: Sequence[int], length: int) -> list[int]:
        """Propose up to `length` (>= 1) tokens to follow `tokens`; [] if the last one is new."""
        check_int("length", length, 1)
        follow(self._text, tokens, self.vocab_size)
        start = self._text.continuation()
        return self._text.tokens[start : start + length]


class PromptLookup:
    """Propose what followed the first earlier place of the text's last n-gram.

    Prompt lookup decoding (Saxena 2023; also in transformers): n-grams of `max_ngram` tokens
    are tried first, then shorter ones down to `min_ngram`; the first match is taken. With
    ``full_only=True``, as in the original, a match counts only if `length` tokens follow it;
    else the next shorter n-gram is tried. Otherwise the short continuation that a match near
    the end leaves is proposed too.

    The first place of each n-gram is remembered between calls: see `MaxGram`.

    Parameters
    ----------
    vocab_size : int
        Number of tokens, >= 1; a token outside 0..vocab_size - 1 is refused.
    max_ngram, min_ngram : int
        Longest and shortest n-gram to look up, in tokens, max_ngram >= min_ngram >= 1.
    full_only : bool
        Abstain rather than propose fewer than `length` tokens.

    Examples
    --------
    >>> PromptLookup(vocab_size=10).propose([1, 2, 3, 4, 9, 2, 3], length=5)
    [4, 9, 2, 3]
    >>> PromptLookup(vocab_size=10, full_only=True).propose([1, 2, 3, 4, 9, 2, 3], length=5)
    []
    """

    def __init__(
        self,
        vocab_size: int,
        max_ngram: int = 3,
        min_ngram: int = 1,
        *,
        full_only: bool = False,
    ) -> None:
        self.name = "prompt-lookup"
        self.vocab_size = check_int("vocab_size", vocab_size, 1)
        self.min_ngram = check_int("min_ngram", min_ngram, 1)
        self.max_ngram = check_int("max_ngram", max_ngram, 1)
        if max_ngram < min_ngram:
            raise ValueError(
                f"max_ngram must be >= min_ngram, got {max_ngram} < {min_ngram}: swap them"
            )
        self.full_only = bool(full_only)
        self._text = FirstPlaces(range(self.max_ngram, self.min_ngram - 1, -1))

    def propose(self, tokens: Sequence[int], length: int) -> list[int]:
        """Propose up to `length` (>= 1) tokens to follow `tokens`; [] without a match."""
        check_int("length", length, 1)
        follow(self._text, tokens, self.vocab_size)
        # the first place leaves the longest continuation: no need to look at later ones
        for start in self._text.continuations():
            proposal = self._text.tokens[start : start + length]
            if len(proposal) == length or not self.full_only:
                return proposal
        return []


def _max_gram_slow(tokens: list[int], length: int) -> list[int]:
    """Listing 1 of CS Drafting, read aloud; the oracle for `MaxGram`."""
    last = len(tokens) - 1
    survivors = [place for place in range(last) if tokens[place] == tokens[last]]
    matched = 1
    while longer := [
        place
        for place in survivors
        if place >= matched and tokens[place - matched] == tokens[last - matched]
    ]:
        survivors, matched = longer, matched + 1
    return tokens[survivors[0] + 1 :][:length] if survivors else []


def _prompt_lookup_slow(
    tokens: list[int], length: int, max_ngram: int, min_ngram: int, full_only: bool
) -> list[int]:
    """Try every n-gram at every place; the oracle for `PromptLookup`."""
    for size in range(max_ngram, min_ngram - 1, -1):
        gram = tokens[len(tokens) - size :] if size <= len(tokens) else None
        for start in range(size, len(tokens)):
            proposal = tokens[start : start + length]
            if tokens[start - size : start] == gram and (len(proposal) == length or not full_only):
                return proposal
    return []
