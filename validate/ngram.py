"""Statistical drafts that need no network: Max-Gram, prompt lookup and counted n-grams.

A one-shot draft proposes many tokens in one call: its law is one-hot. Nothing here needs torch.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cscalc._checks import check_int, check_number


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
        self._text = _SuffixAutomaton()

    def propose(self, tokens: Sequence[int], length: int) -> list[int]:
        """Propose up to `length` (>= 1) tokens to follow `tokens`; [] if the last one is new."""
        check_int("length", length, 1)
        _follow(self._text, tokens, self.vocab_size)
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
        self._text = _FirstPlaces(range(self.max_ngram, self.min_ngram - 1, -1))

    def propose(self, tokens: Sequence[int], length: int) -> list[int]:
        """Propose up to `length` (>= 1) tokens to follow `tokens`; [] without a match."""
        check_int("length", length, 1)
        _follow(self._text, tokens, self.vocab_size)
        # the first place leaves the longest continuation: no need to look at later ones
        for start in self._text.continuations():
            proposal = self._text.tokens[start : start + length]
            if len(proposal) == length or not self.full_only:
                return proposal
        return []


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
        text = _checked(tokens, vocab_size, 0)
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
        text = _checked(tokens[first:], self.vocab_size, first)
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
        context = _checked(tokens[start:], self.vocab_size, start)
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
        text = _as_list(tokens)
        proposal: list[int] = []
        for draft in self.drafts:
            proposal = proposal + draft.propose(text + proposal, length - len(proposal))
            if len(proposal) == length or (proposal and not self.pad):
                break
        return proposal


class _Text(Protocol):
    """A text that grows and shrinks at its end."""

    tokens: list[int]

    def append(self, token: int) -> None: ...
    def pop(self) -> None: ...
    def clear(self) -> None: ...


class _SuffixAutomaton:
    """The suffix automaton of a text, token by token (Blumer et al. 1985), with undo.

    A state stands for the substrings that end at the same places of the text. State 0 is the
    empty string. Each `pop` leaves exactly what was there before the `append` it undoes.
    """

    def __init__(self) -> None:
        self.steps = 0  # transitions read or written so far: the work done, for the tests
        self.clear()

    def clear(self) -> None:
        self.tokens: list[int] = []
        self.next: list[dict[int, int]] = [{}]
        self.size = [0]  # length of a state's longest substring
        self.link = [-1]  # state of its longest suffix that ends at more places
        self.end = [-1]  # first place where its substrings end
        self.whole = [0]  # whole[n]: state of the first n tokens
        self.undo: list[tuple[int, int]] = []  # per token: state the walk met, state it split

    def continuation(self) -> int:
        """Where the tokens to propose begin; len(tokens) if the last one is new."""
        match = self.link[self.whole[-1]]  # the longest suffix that ends at more places
        return self.end[match] + 1 if match > 0 else len(self.tokens)

    def append(self, token: int) -> None:
        new = self._add(self.size[self.whole[-1]] + 1, {}, 0, len(self.tokens))
        following, link = self.next, self.link
        met, split, steps = self.whole[-1], -1, 1
        while met != -1 and token not in following[met]:
            following[met][token] = new
            met = link[met]
            steps += 1
        self.steps += steps
        if met != -1:
            old = self.next[met][token]
            if self.size[old] == self.size[met] + 1:
                self.link[new] = old
            else:  # only the short substrings of `old` end here: they get a state of their own
                split = old
                self.link[new] = self._split(met, token, old)
        self.tokens.append(token)
        self.whole.append(new)
        self.undo.append((met, split))

    def pop(self) -> None:
        token = self.tokens.pop()
        self.whole.pop()
        met, split = self.undo.pop()
        if split != -1:
            short = len(self.size) - 1
            self._redirect(met, token, short, split)
            self.link[split] = self.link[short]
            self._drop()
        following, link = self.next, self.link
        state, steps = self.whole[-1], 1
        while state != met:
            del following[state][token]
            state = link[state]
            steps += 1
        self.steps += steps
        self._drop()

    def _split(self, met: int, token: int, old: int) -> int:
        short = self._add(self.size[met] + 1, self.next[old].copy(), self.link[old], self.end[old])
        self.steps += len(self.next[old])
        self.link[old] = short
        self._redirect(met, token, old, short)
        return short

    def _redirect(self, state: int, token: int, before: int, after: int) -> None:
        while state != -1 and self.next[state].get(token) == before:
            self.next[state][token] = after
            state = self.link[state]
            self.steps += 1

    def _add(self, size: int, following: dict[int, int], link: int, end: int) -> int:
        self.size.append(size)
        self.next.append(following)
        self.link.append(link)
        self.end.append(end)
        return len(self.size) - 1

    def _drop(self) -> None:
        for column in (self.size, self.next, self.link, self.end):
            column.pop()


class _FirstPlaces:
    """The first place of every n-gram of a text, token by token, with undo."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = sizes  # from long to short
        self.clear()

    def clear(self) -> None:
        self.tokens: list[int] = []
        self.first: dict[tuple[int, ...], int] = {}  # n-gram -> place after its first occurrence

    def continuations(self) -> list[int]:
        """Where the last n-gram of each size was continued first, from long to short."""
        starts = [self.first[gram] for gram in self._last_grams()]
        return [start for start in starts if start < len(self.tokens)]

    def append(self, token: int) -> None:
        self.tokens.append(token)
        for gram in self._last_grams():
            self.first.setdefault(gram, len(self.tokens))

    def pop(self) -> None:
        for gram in self._last_grams():
            if self.first[gram] == len(self.tokens):
                del self.first[gram]
        self.tokens.pop()

    def _last_grams(self) -> list[tuple[int, ...]]:
        count = len(self.tokens)
        return [tuple(self.tokens[count - size :]) for size in self.sizes if size <= count]


def _follow(text: _Text, tokens: Sequence[int], vocab_size: int) -> None:
    """Bring `text` to `tokens` by the fewest changes at its end."""
    wanted = _as_list(tokens)
    common = _common_length(text.tokens, wanted)
    added = _checked(wanted[common:], vocab_size, common)  # raises before any change
    if len(text.tokens) - common > common:  # cheaper to read the common part again
        text.clear()
        added = _checked(wanted, vocab_size, 0)
    done = False
    try:
        while len(text.tokens) > common:
            text.pop()
        for token in added:
            text.append(token)
        done = True
    finally:
        if not done:  # interrupted halfway through a change: forget it rather than go wrong
            text.clear()


def _common_length(left: list[int], right: list[int]) -> int:
    """Tokens that two texts begin with in common, by slices: at C speed, not token by token."""
    low, high = 0, min(len(left), len(right))
    near = max(0, high - 64)  # most texts part among their last tokens: one long comparison
    if left[:near] == right[:near]:
        low = near
    else:
        high = near - 1
    while low < high:  # left[:low] == right[:low], and no longer than `high` can agree
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _as_list(tokens: Sequence[int]) -> list[int]:
    if isinstance(tokens, list):
        return tokens
    to_list = getattr(tokens, "tolist", None)  # numpy and torch: plain ints, not 0-d arrays
    return list(tokens) if to_list is None else list(to_list())


def _checked(tokens: Sequence[int], vocab_size: int, place: int) -> list[int]:
    """`tokens` as ints inside the vocabulary; the first stands at `place` of the text."""
    checked = []
    for offset, token in enumerate(_as_list(tokens)):
        number = check_int(f"tokens[{place + offset}]", token, 0)
        if number >= vocab_size:
            raise ValueError(
                f"tokens[{place + offset}] must be < vocab_size = {vocab_size}, got {number}: "
                "use the tokenizer that this draft was made for"
            )
        checked.append(number)
    return checked


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
