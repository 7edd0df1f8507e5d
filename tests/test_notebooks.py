"""Notebooks as stored: executed from top to bottom, clean, small; `make notebooks` runs them."""

import ast
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
OWN_FUNCTIONS = {"08_a_sweep_on_a_cluster.ipynb": {"best_cascade"}}  # what it sweeps
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    data = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in data["cells"] if cell["cell_type"] == kind]


def outputs(path):
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def source(cell):
    return "".join(cell["source"])


def test_there_are_the_eight_notebooks_in_order():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"0{i}" for i in range(1, 9)]


@every_notebook
def test_it_asks_one_question_first(path):
    first = source(cells(path, "markdown")[0])
    assert re.match(r"# .+\n\n\*\*The question: [^*]+\?", first)


@every_notebook
def test_it_is_stored_as_executed_in_one_go(path):
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [cell for cell in code if cell["metadata"]]  # no times of execution
    assert {cell["output_type"] for cell in outputs(path)} <= {
        "stream", "display_data", "execute_result",
    }  # fmt: skip
    assert (
        any("image/png" in output.get("data", {}) for output in outputs(path)) or "06" in path.stem
    )


@every_notebook
def test_its_outputs_name_no_path_and_hold_no_warning(path):
    shown = json.dumps(outputs(path))
    assert not re.search(r"/(?:home|root|tmp|work|Users|usr)/|site-packages|[A-Z]:\\\\", shown)
    assert '"stderr"' not in shown
    assert "widget" not in shown
    assert path.stat().st_size < 400_000


@every_notebook
def test_it_defines_nothing_that_belongs_in_the_library(path):
    code = "\n".join(source(cell) for cell in cells(path, "code"))
    kinds = ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    defined = {node.name for node in ast.walk(ast.parse(code)) if isinstance(node, kinds)}
    assert defined == OWN_FUNCTIONS.get(path.name, set())
    assert "lambda" not in code


@every_notebook
def test_notebooks_that_it_names_exist(path):
    said = "\n".join(source(cell) for cell in cells(path, "markdown"))
    for name in re.findall(r"\d\d_\w+\.ipynb", said):
        assert (FOLDER / name).exists(), name
