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
KINDS = ("copying", "sums")


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt and its right answer.

    Attributes
    ----------
    prompt : Prompt
    answer : str
    kind : str
        "copying": the reply holds the answer; "sums": its first number is the answer;
        "gsm8k": its last number is.

    Examples
    --------
    >>> task = make_tasks("sums", 1, seed=0)[0]
    >>> task.is_right(f" {task.answer}, of course"), task.is_right("12345")
    (True, False)
    """

    prompt: Prompt
    answer: str
    kind: str

    def is_right(self, reply: str) -> bool:
        """Whether the reply gives the answer."""
        if self.kind == "copying":
            return self.answer.lower() in " ".join(reply.lower().split())
        numbers = NUMBER.findall(reply)
        if not numbers:
            return False
        given = numbers[0] if self.kind == "sums" else numbers[-1]
        return _value(given) == _value(self.answer)


def make_tasks(kind: str, n_tasks: int, *, seed: int) -> list[Task]:
    """Copying or sums, as many as asked for; the same seed gives the same tasks.

    Parameters
    ----------
    kind : {"copying", "sums"}
        Four words to repeat; a sum of two one-digit numbers behind five solved ones.
    n_tasks : int
    seed : int

    Raises
    ------
    ValueError
        If the kind is unknown or there is nothing to make.
    """
    if kind not in KINDS:
        raise ValueError(f"tasks must be one of {', '.join(KINDS)} or a file, got {kind!r}")
    check_int("n_tasks", n_tasks, least=1)
    draw, base = random.Random(f"{kind} {seed}"), 100_000 * (1 + KINDS.index(kind))
    make = _copying if kind == "copying" else _sum
    tasks = []
    for number in range(n_tasks):
        text, answer = make(draw)
        prompt = Prompt(base + number, kind, (text,), "held-out")
        tasks.append(Task(prompt, answer, kind))
    return tasks


def _copying(draw: random.Random) -> tuple[str, str]:
    answer = " ".join(draw.sample(WORDS, 4))
    return f"Repeat these words exactly, and write nothing else: {answer}", answer


def _sum(draw: random.Random) -> tuple[str, str]:
    pairs = [(draw.randint(1, 9), draw.randint(1, 9)) for _ in range(6)]
    solved = "\n".join(f"{a} + {b} = {a + b}" for a, b in pairs[:-1])
    a, b = pairs[-1]
    return f"Answer with the number only.\n{solved}\n{a} + {b} =", str(a + b)


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
