"""Tasks with answers that can be checked: copying, simple sums, and GSM8K's file format."""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

from cscalc._checks import check_int
from validate.prompts import Prompt

WORDS = [
    "river",
    "lamp",
    "stone",
    "cloud",
    "bread",
    "green",
    "seven",
    "horse",
    "window",
    "silver",
    "paper",
    "garden",
    "winter",
    "music",
    "bridge",
    "yellow",
    "candle",
    "forest",
    "orange",
    "mirror",
]
NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")
KINDS = ("copying", "sums", "last-word")
_SOLVED = 4  # examples before the question


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt and its right answer.

    Attributes
    ----------
    prompt : Prompt
    answer : str
    kind : str
        "copying" and "last-word": the reply begins with the answer; "sums": its first number
        is the answer; "gsm8k": its last number is.

    Examples
    --------
    >>> task = make_tasks("sums", 1, seed=0)[0]
    >>> task.is_right(f" {task.answer}, of course"), task.is_right("12345")
    (True, False)
    """

    prompt: Prompt
    answer: str
    kind: str

    @property
    def chat(self) -> bool:
        """Whether the prompt is put into the chat format; solved examples go on as they are."""
        return self.kind == "gsm8k"

    def is_right(self, reply: str) -> bool:
        """Whether the reply gives the answer."""
        if self.kind in ("copying", "last-word"):
            words = re.findall(r"\w+", reply.lower())
            asked = self.answer.lower().split()
            return words[: len(asked)] == asked
        numbers = NUMBER.findall(reply)
        if not numbers:
            return False
        given = numbers[0] if self.kind == "sums" else numbers[-1]
        return _value(given) == _value(self.answer)


def make_tasks(kind: str, n_tasks: int, *, seed: int) -> list[Task]:
    """Small tasks behind four solved ones; the same seed gives the same tasks.

    Parameters
    ----------
    kind : {"copying", "sums", "last-word"}
        Four words to repeat; a sum of two one-digit numbers; the last of three words.
    n_tasks : int
    seed : int

    Raises
    ------
    ValueError
        If the kind is unknown or there is nothing to make.

    Examples
    --------
    >>> print(make_tasks("last-word", 1, seed=0)[0].prompt.text.splitlines()[-1])
    stone bridge seven | last:
    """
    if kind not in KINDS:
        raise ValueError(f"tasks must be one of {', '.join(KINDS)} or a file, got {kind!r}")
    check_int("n_tasks", n_tasks, least=1)
    draw, base = random.Random(f"{kind} {seed}"), 100_000 * (1 + KINDS.index(kind))
    make = {"copying": _copying, "sums": _sum, "last-word": _last_word}[kind]
    tasks = []
    for number in range(n_tasks):
        *solved, (question, answer) = [make(draw) for _ in range(_SOLVED + 1)]
        lines = [f"{asked} {told}" for asked, told in solved]
        prompt = Prompt(base + number, kind, ("\n".join([*lines, question]),), "held-out")
        tasks.append(Task(prompt, answer, kind))
    return tasks


def _copying(draw: random.Random) -> tuple[str, str]:
    answer = " ".join(draw.sample(WORDS, 4))
    return f"in: {answer}\nout:", answer


def _sum(draw: random.Random) -> tuple[str, str]:
    a, b = draw.randint(1, 9), draw.randint(1, 9)
    return f"{a} + {b} =", str(a + b)


def _last_word(draw: random.Random) -> tuple[str, str]:
    words = draw.sample(WORDS, 3)
    return f"{' '.join(words)} | last:", words[-1]


def load_gsm8k(path: str | Path, limit: int | None = None) -> list[Task]:
    """Tasks of a file in GSM8K's format: JSON Lines with "question" and "answer" (#### 42).

    Raises
    ------
    ValueError
        If the file cannot be read, or a line has no question or no label.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"{file} does not exist: give copying, sums or a GSM8K file")
    tasks = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}, line {number}: not JSON ({error.msg})") from None
        question = entry.get("question") if isinstance(entry, dict) else None
        if not isinstance(question, str) or not question.strip():
            raise ValueError(f"{file}, line {number}: no question, a string is needed")
        label = str(entry.get("answer", "")).rpartition("####")[2].strip()
        if not NUMBER.fullmatch(label):
            raise ValueError(
                f"{file}, line {number}: no label; the answer must end in #### and a number"
            )
        tasks.append(Task(Prompt(number, "gsm8k", (question,), "held-out"), label, "gsm8k"))
        if limit is not None and len(tasks) == limit:
            break
    if not tasks:
        raise ValueError(f"{file} holds no tasks: give a file with at least one line")
    return tasks


def _value(number: str) -> float:
    return float(number.replace(",", ""))
