"""Prompts to measure and to decode: our own 32, a Spec-Bench file, or a plain text file."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cscalc._checks import check_choice, check_int

SPLITS = ("measure", "held-out")
_BUNDLED = Path(__file__).with_name("data") / "prompts.jsonl"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to a chat model.

    Parameters
    ----------
    question_id : int
        Number of the prompt, >= 0, unique in its file.
    category : str
        The task, for example ``"writing"``.
    turns : tuple of str
        What the user says, one entry a turn; at least one, none of them blank.
    split : {"measure", "held-out"}
        Whether acceptance is measured on it, or the prediction is tried on it.

    Raises
    ------
    TypeError, ValueError
        If a field has the wrong type or value; the sentence begins with the field.

    Examples
    --------
    >>> Prompt(1, "writing", ("Write a poem.", "Make it rhyme."), "measure").text
    'Write a poem.'
    """

    question_id: int
    category: str
    turns: tuple[str, ...]
    split: str

    def __post_init__(self) -> None:
        check_int("question_id", self.question_id, 0)
        _check_text("category", self.category)
        if isinstance(self.turns, str) or not isinstance(self.turns, list | tuple):
            raise TypeError(f"turns must be a list of strings, got {self.turns!r}: put it in [ ]")
        if not self.turns:
            raise ValueError(f"turns must hold at least one string, got {self.turns!r}")
        for place, turn in enumerate(self.turns):
            _check_text(f"turns[{place}]", turn)
        object.__setattr__(self, "turns", tuple(self.turns))
        check_choice("split", self.split, SPLITS)

    @property
    def text(self) -> str:
        """The first turn: what is used where nothing is said about further turns."""
        return self.turns[0]


def load_prompts(
    path: str | Path | None = None, split: str | None = None, limit: int | None = None
) -> list[Prompt]:
    """Read prompts, in the order of their file.

    Parameters
    ----------
    path : str or Path, optional
        None: the 32 prompts of this package, four for each of eight tasks, two of the four
        to measure on and two held out. A file whose name ends in ``.txt`` holds one prompt a
        *paragraph* (paragraphs are parted by blank lines; line breaks inside one are kept),
        all of category ``"text"``. Any other file is read as JSON Lines in the form of
        Spec-Bench's ``question.jsonl``: an object a line with ``question_id`` (int),
        ``category`` (str), ``turns`` (list of str) and, if you like, ``split``; other fields
        are ignored, and so are blank lines.
    split : {"measure", "held-out"}, optional
        Keep only these. Prompts without a split take turns within their category: the first
        is for measuring, the second held out, the third for measuring, and so on.
    limit : int, optional
        Keep at most so many, >= 1, taken from each category in turn, so that a small limit
        still covers many tasks.

    Returns
    -------
    list of Prompt
        At least one.

    Raises
    ------
    TypeError, ValueError
        If the file cannot be read, a line of it is wrong, or no prompt is left; one sentence
        with file, line, field and remedy.

    Examples
    --------
    >>> len(load_prompts()), len(load_prompts(split="held-out"))
    (32, 16)
    >>> [prompt.category for prompt in load_prompts(limit=3)]
    ['writing', 'reasoning', 'maths']
    """
    if split is not None:
        check_choice("split", split, SPLITS)
    if limit is not None:
        check_int("limit", limit, 1)
    file = _BUNDLED if path is None else Path(path)
    text = _read(file)
    if not text.strip():
        raise ValueError(f"{file} holds no prompts: give a file with at least one")
    prompts = _from_paragraphs(text) if file.suffix == ".txt" else _from_lines(text, file)
    kept = [prompt for prompt in prompts if split in (None, prompt.split)]
    if not kept:
        raise ValueError(f"{file} holds no prompt with split {split!r}: choose the other split")
    return kept if limit is None else _spread(kept, limit)


def _check_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r}")
    if not value.strip():
        raise ValueError(f"{name} must not be blank, got {value!r}: fill it in or leave it out")
    return value


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} must be UTF-8, got byte {error.start}: save it as UTF-8"
        ) from error
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise ValueError(
            f"prompts cannot be read from {file} ({reason}): check the path"
        ) from error


def _from_paragraphs(text: str) -> list[Prompt]:
    paragraphs: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            paragraphs[-1].append(line.rstrip())
        elif paragraphs[-1]:
            paragraphs.append([])
    filled = ["\n".join(lines) for lines in paragraphs if lines]
    return [Prompt(i + 1, "text", (turn,), SPLITS[i % 2]) for i, turn in enumerate(filled)]


def _from_lines(text: str, file: Path) -> list[Prompt]:
    prompts: list[Prompt] = []
    line_of: dict[int, int] = {}  # question_id -> line number
    unsplit: Counter[str] = Counter()  # prompts of a category that named no split
    # not splitlines(): JSON strings may hold U+2028, which it takes for the end of a line
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            prompt = _from_line(line, unsplit)
            if prompt.question_id in line_of:
                first = line_of[prompt.question_id]
                raise ValueError(
                    f"question_id must be unique, got {prompt.question_id} again (first in line "
                    f"{first}): give each prompt its own number"
                )
        except (TypeError, ValueError) as error:
            raise type(error)(f"{file}, line {number}: {error}") from error
        line_of[prompt.question_id] = number
        prompts.append(prompt)
    return prompts


def _from_line(line: str, unsplit: Counter[str]) -> Prompt:
    """Read one line; a prompt without a split takes its turn in `unsplit`."""
    shape = 'one object a line, {"question_id": 1, "category": "writing", "turns": ["..."]}'
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        # plain ValueError: the caller rebuilds the error from its sentence alone
        raise ValueError(f"not JSON ({error.msg}, column {error.colno}): write {shape}") from error
    if not isinstance(record, dict):
        raise TypeError(f"must be a JSON object, got {line.strip()[:40]!r}: write {shape}")
    for field in ("question_id", "category", "turns"):
        if field not in record:
            raise ValueError(f"{field} is missing: write {shape}")
    category = _check_text("category", record["category"])
    split = record.get("split")
    if split is None:
        split = SPLITS[unsplit[category] % 2]
        unsplit[category] += 1
    return Prompt(record["question_id"], category, record["turns"], split)


def _spread(prompts: Sequence[Prompt], limit: int) -> list[Prompt]:
    """`limit` of `prompts`, from each category in turn, in their old order."""
    seen: Counter[str] = Counter()
    ranks = []  # (how many of its category come before it, its place)
    for place, prompt in enumerate(prompts):
        ranks.append((seen[prompt.category], place))
        seen[prompt.category] += 1
    chosen = sorted(place for _, place in sorted(ranks)[:limit])
    return [prompts[place] for place in chosen]
