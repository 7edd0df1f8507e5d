"""Drafts counted from text, and drafts that ask one another: `NGramModel`, `FirstOf`.

Nothing here needs torch.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from cscalc._checks import check_int, check_number
from validate.ngram import OneShotDraft
from validate.suffix import as_list, checked_tokens


@dataclass(frozen=True, eq=False)
class NGramModel:
    """A language model counted from text: autoregressive, or one-shot by greedy chain.

    The law after a context is that of the followers counted after the longest end of the
    context, at most ``order - 1`` tokens, that was seen at all (backoff; at last, the counts of
    single tokens), mixed with the uniform law: ``(1 - floor) * counted + floor / vocab_size``.
    Make one with `NGramModel.from_tokens`.

    Parameters
    ----------
    followers : mapping of tuple of int to mapping of int to int
        ``followers[context][token]`` is how often `token` followed `context`.
    vocab_size : int
        Number of tokens, >= 1.
    order : int
        Longest n-gram counted, in tokens: 1 unigram, 2 bigram, and so on.
    floor : float
        Weight of the uniform law, in [0, 1].

    Examples
    --------
    >>> bigram = NGramModel.from_tokens([0, 1, 2, 0, 1, 3, 0, 1, 2], vocab_size=5)
    >>> bigram.name, bigram.propose([4, 0], length=4)
    ('2-gram', [1, 2, 0, 1])
    >>> bigram.next_token_probs([3, 0, 1], n_last=1).round(3).tolist()
    [[0.0, 0.0, 0.667, 0.333, 0.0]]
    """

    followers: Mapping[tuple[int, ...], Mapping[int, int]]
    vocab_size: int
    order: int = 2
    floor: float = 0.0
    _greedy: dict[tuple[int, ...], int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_int("vocab_size", self.vocab_size, 1)
        check_int("order", self.order, 1)
        check_number("floor", self.floor, 0.0, 1.0)
        if () not in self.followers:
            raise ValueError("followers must hold the counts of (), the empty context, got none")
        # ties go to the smallest id, as argmax over the law would have it
        greedy = {
            context: min(counts.items(), key=lambda item: (-item[1], item[0]))[0]
            for context, counts in self.followers.items()
        }
        object.__setattr__(self, "_greedy", greedy)

    @classmethod
    def from_tokens(
        cls, tokens: Sequence[int], order: int = 2, *, vocab_size: int, floor: float = 0.0
    ) -> "NGramModel":
        """Count all n-grams of up to `order` tokens in one text.

        Raises
        ------
        TypeError, ValueError
            If there are no tokens, one lies outside 0..vocab_size - 1, or an option is bad.
        """
        check_int("vocab_size", vocab_size, 1)
        check_int("order", order, 1)
        text = checked_tokens(tokens, vocab_size, 0)
        if not text:
            raise ValueError("tokens must hold at least one token to count, got none")
        followers: dict[tuple[int, ...], Counter[int]] = {}
        for seen in range(order):
            for place in range(seen, len(text)):
                context = tuple(text[place - seen : place])
                followers.setdefault(context, Counter())[text[place]] += 1
        return cls(MappingProxyType(followers), vocab_size, order, floor)

    @property
    def name(self) -> str:
        """What reports call it, for example "2-gram"."""
        return f"{self.order}-gram"

    def next_token_probs(self, tokens: Sequence[int], n_last: int) -> npt.NDArray[np.float64]:
        """Laws after each of the last `n_last` prefixes of `tokens`.

        Parameters
        ----------
        tokens : sequence of int
            The text so far, at least `n_last` tokens.
        n_last : int
            How many prefixes, >= 1: row -1 follows all of `tokens`, row -2 ``tokens[:-1]``, ...

        Returns
        -------
        ndarray
            float64, shape (n_last, vocab_size); rows sum to 1.

        Raises
        ------
        TypeError, ValueError
            If a token is outside the vocabulary or there are fewer than `n_last`.
        """
        check_int("n_last", n_last, 1)
        if len(tokens) < n_last:
            raise ValueError(f"n_last must be <= {len(tokens)}, the tokens given, got {n_last}")
        first = max(
            0, len(tokens) - n_last + 2 - self.order
        )  # where the first row's context begins
        text = checked_tokens(tokens[first:], self.vocab_size, first)
        laws = np.full((n_last, self.vocab_size), self.floor / self.vocab_size)
        for row in range(n_last):
            counts = self.followers[self._seen(text[: len(text) - n_last + 1 + row])]
            total = sum(counts.values())
            for token, count in counts.items():
                laws[row, token] += (1.0 - self.floor) * (count / total)
        return laws

    def propose(self, tokens: Sequence[int], length: int) -> list[int]:
        """Chain up to `length` (>= 1) most likely tokens, each after the ones before it.

        The bottom of CS Drafting's cascades (arXiv 2312.11462). The chain ends early at a token
        that was never seen to be followed, where only the most frequent token would be left to
        propose; it is empty if that is the last of `tokens`, or `tokens` is empty.
        """
        check_int("length", length, 1)
        start = max(0, len(tokens) - (self.order - 1))
        context = checked_tokens(tokens[start:], self.vocab_size, start)
        proposal: list[int] = []
        # a unigram model has no context to see: it proposes its one token to any text
        while len(tokens) > 0 and len(proposal) < length:
            seen = self._seen(context)
            if not seen and self.order > 1:
                break
            proposal.append(self._greedy[seen])
            context.append(proposal[-1])
        return proposal

    def _seen(self, text: list[int]) -> tuple[int, ...]:
        """The longest end of `text`, up to order - 1 tokens, that some token followed."""
        for size in range(min(self.order - 1, len(text)), 0, -1):
            context = tuple(text[len(text) - size :])
            if context in self.followers:
                return context
        return ()


@dataclass(frozen=True)
class FirstOf:
    """Ask several one-shot drafts in turn, and take the first that proposes something.

    Parameters
    ----------
    drafts : sequence of OneShotDraft
        At least one, all of one vocabulary.
    pad : bool
        Let the later drafts fill up a short proposal, each continuing it, as the code of CS
        Drafting (arXiv 2312.11462) pads Max-Gram with a bigram.

    Examples
    --------
    >>> from validate.ngram import MaxGram
    >>> bigram = NGramModel.from_tokens([5, 6, 5, 6], vocab_size=10)
    >>> draft = FirstOf([MaxGram(vocab_size=10), bigram])
    >>> draft.propose([1, 5, 2, 1], length=2), draft.propose([1, 5], length=2)
    ([5, 2], [6, 5])
    """

    drafts: Sequence[OneShotDraft]
    pad: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "drafts", tuple(self.drafts))
        if not self.drafts:
            raise ValueError("drafts must hold at least one draft, got none")
        sizes = [draft.vocab_size for draft in self.drafts]
        if len(set(sizes)) > 1:
            raise ValueError(f"drafts must share one vocabulary, got vocab_size {sizes}")

    @property
    def name(self) -> str:
        """The drafts' names, joined by a plus."""
        return "+".join(draft.name for draft in self.drafts)

    @property
    def vocab_size(self) -> int:
        """Token ids lie in 0..vocab_size - 1."""
        return self.drafts[0].vocab_size

    def propose(self, tokens: Sequence[int], length: int) -> list[int]:
        """Propose up to `length` (>= 1) tokens to follow `tokens`; [] if all abstain."""
        check_int("length", length, 1)
        text = as_list(tokens)
        proposal: list[int] = []
        for draft in self.drafts:
            proposal = proposal + draft.propose(text + proposal, length - len(proposal))
            if len(proposal) == length or (proposal and not self.pad):
                break
        return proposal
