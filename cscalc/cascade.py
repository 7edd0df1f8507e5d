"""Who drafts, who reviews whom, how long: one description, predicted, simulated and run.

Models are integers: 0 is the target, 1, 2, ... are drafts from dear to cheap.
No formulas and no randomness here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from cscalc._checks import check_int

Kind = Literal["plain", "speculative", "horizontal", "vertical", "nested"]
SCHEMA = "cscalc/cascade"


@dataclass(frozen=True, slots=True)
class Draft:
    """Tokens that one model proposes with no check in between.

    Attributes
    ----------
    model : int
        1, 2, ..., from dear to cheap; the target, 0, does not draft.
    length : int
        Draft length >= 1, in tokens: one pass per token, or one pass in all if the
        profile lists the model as one-shot.
    until : int or None
        If given, calls of `length` tokens repeat while the draft in front of the reviewer
        holds fewer than `until` tokens (cumulative over the reviewer's segments, as in
        Algorithm 1 of CS Drafting, arXiv:2312.11462). Otherwise there is one call.

    Examples
    --------
    >>> Draft(1, 4)
    Draft(1, 4)
    """

    model: int
    length: int
    _: KW_ONLY
    until: int | None = None

    def __post_init__(self) -> None:
        _set_int(self, "model", self.model)
        _set_int(self, "length", self.length)
        if self.until is not None:
            _set_int(self, "until", self.until)

    def __repr__(self) -> str:
        stop = "" if self.until is None else f", until={self.until}"
        return f"Draft({self.model}, {self.length}{stop})"


@dataclass(frozen=True, slots=True)
class Review:
    """In each round `drafts` propose and `model` reviews; it emits accepted + 1 tokens.

    Attributes
    ----------
    model : int
        The reviewing draft model, >= 1 and dearer than every model in `drafts`.
    drafts : tuple of Draft or Review
        Segments in drafting order; several segments form a horizontal cascade.
    rounds : int or None
        This many rounds, or
    until : int or None
        rounds repeat while the draft in front of the *outer* reviewer holds fewer than
        `until` tokens (cumulative over the outer reviewer's segments). Give exactly one.

    Raises
    ------
    ValueError
        If `drafts` is empty, a draft is not cheaper than its reviewer, not exactly one of
        `rounds` and `until` is given, or an inner segment could never make a call.

    Examples
    --------
    >>> Review(1, (Draft(2, 4),), rounds=2)
    Review(1, (Draft(2, 4),), rounds=2)
    """

    model: int
    drafts: tuple["Segment", ...]
    _: KW_ONLY
    rounds: int | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        _set_int(self, "model", self.model)
        _check_segments(self.drafts, self.model)
        if not self.drafts:
            raise ValueError("a review needs at least one draft, got drafts=()")
        if (self.rounds is None) == (self.until is None):
            raise ValueError(
                f"give exactly one of rounds, until; got rounds={self.rounds}, until={self.until}"
            )
        name, stop = ("until", self.until) if self.rounds is None else ("rounds", self.rounds)
        _set_int(self, name, stop)

    def __repr__(self) -> str:
        stop = f"rounds={self.rounds}" if self.until is None else f"until={self.until}"
        return f"Review({self.model}, {self.drafts!r}, {stop})"


Segment = Draft | Review


@dataclass(frozen=True, slots=True)
class Cascade:
    """What is drafted before the target verifies: segments in drafting order.

    Attributes
    ----------
    drafts : tuple of Draft or Review
        Several segments form a horizontal cascade; the empty tuple is plain decoding.

    Raises
    ------
    TypeError
        If `drafts` is not a tuple of `Draft` and `Review`.
    ValueError
        If a segment could never make a call because its `until` is already reached.

    Examples
    --------
    >>> cascade = Cascade((Review(1, (Draft(2, 3),), rounds=2), Draft(3, 10)))
    >>> cascade.kind, cascade.models, cascade.max_length
    ('nested', (1, 2, 3), 18)
    >>> print(cascade)
    2 x [1 reviews 2:3] + 3:10
    >>> Cascade.from_dict(cascade.to_dict()) == cascade
    True
    """

    drafts: tuple[Segment, ...]

    def __post_init__(self) -> None:
        _check_segments(self.drafts, 0)

    def __repr__(self) -> str:
        return f"Cascade({self.drafts!r})"

    def __str__(self) -> str:
        return describe(self.drafts) or "plain decoding"

    def _repr_html_(self) -> str:
        from cscalc._notebook import cascade_html  # it draws what is defined here

        return cascade_html(self)

    @property
    def kind(self) -> Kind:
        """'plain', 'speculative', 'horizontal', 'vertical' or 'nested'.

        Vertical: one review of one draft. Nested: every other cascade with a review in it.
        """
        if not self.drafts:
            return "plain"
        if all(isinstance(segment, Draft) for segment in self.drafts):
            return "speculative" if len(self.drafts) == 1 else "horizontal"
        first = self.drafts[0]
        simple = len(self.drafts) == 1 and isinstance(first, Review) and len(first.drafts) == 1
        if simple and isinstance(first, Review) and isinstance(first.drafts[0], Draft):
            return "vertical"
        return "nested"

    @property
    def models(self) -> tuple[int, ...]:
        """Draft models in use, in increasing order."""
        return tuple(sorted({segment.model for segment in walk(self.drafts)}))

    @property
    def reviewers(self) -> tuple[int, ...]:
        """Draft models that review, in increasing order."""
        return tuple(sorted({s.model for s in walk(self.drafts) if isinstance(s, Review)}))

    @property
    def depth(self) -> int:
        """Reviews inside one another: 0 without reviews, 1 for a vertical cascade, ..."""
        return depth(self.drafts)

    @property
    def max_length(self) -> int:
        """Most tokens that can stand in front of the target in one cycle."""
        return max_length(self.drafts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` reads it back."""
        return {"schema": SCHEMA, "version": 1, "drafts": [_to_json(s) for s in self.drafts]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Cascade":
        """Read what `to_dict` wrote; ValueError names the field that does not fit."""
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ValueError(f'a cascade needs "schema": "{SCHEMA}", got {str(data)[:80]}')
        if data.get("version") != 1:
            raise ValueError(
                f"cascade version must be 1, got {data.get('version')!r}: update cscalc"
            )
        return cls(_segments_from_json(data.get("drafts")))

    @classmethod
    def from_k_matrix(
        cls,
        k_matrix: Sequence[Sequence[int]],
        *,
        form: Literal["incremental", "cumulative"] = "incremental",
        bottom_length: int = 10,
    ) -> "Cascade":
        """Return the cascade of CS Drafting's Algorithm 1 for a K matrix.

        Parameters
        ----------
        k_matrix : sequence of rows
            Row r serves reviewer r; its entries are the thresholds of models r+1, ..., n.
            Either full rows (n each, zeros below the diagonal) or upper-triangular ones
            (n, n-1, ..., 1 entries). The last model is the bottom (Max-Gram).
        form : {"incremental", "cumulative"}
            "incremental": the authors' code, where thresholds are running sums of a row.
            "cumulative": the paper's k, where an entry is the threshold itself.
        bottom_length : int
            Tokens that one call of the bottom model proposes; 10 in the paper.

        Returns
        -------
        Cascade
            Every segment repeats `until` its cumulative threshold. A segment whose
            threshold adds nothing is left out.

        References
        ----------
        Chen et al., "Cascade Speculative Drafting", NeurIPS 2024, arXiv:2312.11462,
        Algorithm 1 and the authors' `k_matrix`.

        Examples
        --------
        >>> print(Cascade.from_k_matrix([[13, 10], [0, 10]]))
        [1 reviews 2:10 until 10] until 13 + 2:10 until 23
        """
        from cscalc.k_matrix import segments_of  # it builds what is defined here

        return cls(segments_of(k_matrix, form, bottom_length))

    def to_k_matrix(self) -> list[list[int]] | None:
        """Return the incremental K matrix (full rows) of a cascade of Algorithm 1, or None.

        None where the cascade is not of that form: a fixed number of rounds, models out of
        order, one model reviewing in two different ways or only in some places, calls of
        several tokens that a model above the bottom repeats, or bottom drafts of different
        lengths. The length of a bottom draft is not in the matrix; it is `bottom_length` of
        `from_k_matrix`.
        """
        from cscalc.k_matrix import matrix_of

        return matrix_of(self.drafts, max(self.models, default=0))


def walk(drafts: tuple[Segment, ...]) -> Iterator[Segment]:
    """Yield every segment at every depth, outer before inner."""
    for segment in drafts:
        yield segment
        if isinstance(segment, Review):
            yield from walk(segment.drafts)


def wants_call(segment: Segment, calls: int, length: int) -> bool:
    """Whether a segment makes another call, after `calls` calls, with `length` tokens drafted."""
    if segment.until is not None:
        return length < segment.until
    if isinstance(segment, Draft):
        return calls < 1
    return segment.rounds is not None and calls < segment.rounds


def depth(drafts: tuple[Segment, ...]) -> int:
    """Number of reviews inside one another."""
    return max((1 + depth(s.drafts) for s in drafts if isinstance(s, Review)), default=0)


def call_length(segment: Segment) -> tuple[int, int]:
    """Fewest and most tokens of one call: one draft, or one round of a review."""
    if isinstance(segment, Draft):
        return segment.length, segment.length
    return 1, max_length(segment.drafts) + 1


def max_length(drafts: tuple[Segment, ...]) -> int:
    """Most tokens that these segments can put in front of their reviewer."""
    return _length_range(drafts)[1]


def describe(drafts: tuple[Segment, ...], names: Sequence[str] | None = None) -> str:
    """Return one line such as ``2 x [1 reviews 2:3] + 3:10``."""

    def name(model: int) -> str:
        return str(model) if names is None else names[model]

    def one(segment: Segment) -> str:
        stop = "" if segment.until is None else f" until {segment.until}"
        if isinstance(segment, Draft):
            return f"{name(segment.model)}:{segment.length}{stop}"
        inner = f"[{name(segment.model)} reviews {describe(segment.drafts, names)}]"
        return f"{segment.rounds} x {inner}" if segment.rounds else f"{inner}{stop}"

    return " + ".join(one(segment) for segment in drafts)


def _length_range(drafts: tuple[Segment, ...]) -> tuple[int, int]:
    least = most = 0
    for segment in drafts:
        low, high = call_length(segment)
        if segment.until is not None:
            most = max(most, segment.until - 1 + high)  # the last call may start one short
            least = max(least, segment.until)
        else:
            calls = segment.rounds if isinstance(segment, Review) and segment.rounds else 1
            least, most = least + calls * low, most + calls * high
    return least, most


def _set_int(segment: object, name: str, value: object) -> None:
    """Check a number of a segment; one of numpy's becomes an int, which JSON can hold."""
    number = check_int(name, value, least=1)
    if type(value) is not int:
        object.__setattr__(segment, name, number)


def _check_segments(drafts: object, reviewer: int) -> None:
    if not isinstance(drafts, tuple):  # a list would break hash()
        raise TypeError(f"drafts must be a tuple, got {drafts!r}")
    for i, segment in enumerate(drafts):
        if not isinstance(segment, Draft | Review):
            raise TypeError(f"drafts[{i}] must be a Draft or a Review, got {segment!r}")
        if segment.model <= reviewer:
            raise ValueError(
                f"model {segment.model} cannot draft for model {reviewer}: models run from dear "
                f"to cheap, so every model in a review must be numbered above its reviewer"
            )
        if segment.until is not None:
            before = _length_range(drafts[:i])[0]
            if segment.until <= before:
                raise ValueError(
                    f"drafts[{i}] would never make a call: until={segment.until} is cumulative "
                    f"and the segments before it already hold at least {before} tokens"
                )


def _to_json(segment: Segment) -> dict[str, Any]:
    if isinstance(segment, Draft):
        data: dict[str, Any] = {"draft": segment.model, "length": segment.length}
        return data if segment.until is None else {**data, "until": segment.until}
    stop = {"rounds": segment.rounds} if segment.until is None else {"until": segment.until}
    return {"review": segment.model, "drafts": [_to_json(s) for s in segment.drafts], **stop}


def _segments_from_json(data: object) -> tuple[Segment, ...]:
    if not isinstance(data, list):
        raise ValueError(f"drafts must be a list of segments, got {str(data)[:80]}")
    return tuple(_segment_from_json(item) for item in data)


def _segment_from_json(data: object) -> Segment:
    if isinstance(data, dict) and set(data) - {"until"} == {"draft", "length"}:
        return Draft(data["draft"], data["length"], until=data.get("until"))
    if isinstance(data, dict) and set(data) - {"until", "rounds"} == {"review", "drafts"}:
        inner = _segments_from_json(data["drafts"])
        return Review(data["review"], inner, rounds=data.get("rounds"), until=data.get("until"))
    raise ValueError(
        'a segment is {"draft", "length"} or {"review", "drafts", "rounds" or "until"}, '
        f"got {str(data)[:80]}"
    )
