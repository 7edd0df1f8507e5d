"""Texts remembered between calls, for lookups in them: each grows and shrinks at its end.

Shared by the drafts of `validate.ngram` and `validate.statistical`. Nothing here needs torch.
"""

from collections.abc import Sequence
from typing import Protocol

from cscalc._checks import check_int


class Text(Protocol):
    """A text that grows and shrinks at its end."""

    tokens: list[int]

    def append(self, token: int) -> None: ...
    def pop(self) -> None: ...
    def clear(self) -> None: ...


class SuffixAutomaton:
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


class FirstPlaces:
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


def follow(text: Text, tokens: Sequence[int], vocab_size: int) -> None:
    """Bring `text` to `tokens` by the fewest changes at its end."""
    wanted = as_list(tokens)
    common = common_length(text.tokens, wanted)
    added = checked_tokens(wanted[common:], vocab_size, common)  # raises before any change
    if len(text.tokens) - common > common:  # cheaper to read the common part again
        text.clear()
        added = checked_tokens(wanted, vocab_size, 0)
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


def common_length(left: list[int], right: list[int]) -> int:
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


def as_list(tokens: Sequence[int]) -> list[int]:
    if isinstance(tokens, list):
        return tokens
    to_list = getattr(tokens, "tolist", None)  # numpy and torch: plain ints, not 0-d arrays
    return list(tokens) if to_list is None else list(to_list())


def checked_tokens(tokens: Sequence[int], vocab_size: int, place: int) -> list[int]:
    """`tokens` as ints inside the vocabulary; the first stands at `place` of the text."""
    checked = []
    for offset, token in enumerate(as_list(tokens)):
        number = check_int(f"tokens[{place + offset}]", token, 0)
        if number >= vocab_size:
            raise ValueError(
                f"tokens[{place + offset}] must be < vocab_size = {vocab_size}, got {number}: "
                "use the tokenizer that this draft was made for"
            )
        checked.append(number)
    return checked
