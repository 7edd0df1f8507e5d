"""Who may import whom: the floors of DESIGN in one table, read from the source."""

import ast
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# package -> its parts, lowest floor first; a * covers the files that one was split into;
# __init__ and __main__ stand above all
FLOORS = {
    "cscalc": """_checks _version _files _pairs _html _verify_costs
        | cascade k_matrix profile _fit acceptance* _acceptance_base diagram _notebook
        | stats records goodness rates own_rates | theory simulate _search*
        | optimize plan _plan_words compare sweep _sweep* plot adaptive export choose resamples
        uncertainty rivals check _check_cases fronts
        | cli* explore""",
    "validate": """prompts suffix ngram statistical cache models load packing
        hash_models dsia dsia_modules dsia_int8 dsia_sessions dsia_models dsia_names
        static_cache static_session engine recorded pass_timer fused_linears
        draws | sampling verify chance rules completion ending options
        | decoder device* ragged batch decode reference tree* dytc* lossless sequential
        | routing overlaps timing measure run resume gap tasks deferral* report*
        dsia_choose dsia_table dsia_picture dsia_words
        ties evidence certificate* diagnosis* contexts
        | cli*""",
}
STRANGERS = [{"theory", "simulate"}]  # a simulator must not borrow the formula it checks
FORBIDDEN = {"cscalc": {"torch", "transformers", "validate"}, "validate": set()}
FILES = sorted(path for package in FLOORS for path in (ROOT / package).rglob("*.py"))
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def floor_of(package, part):
    """Floor of a part of a package; None if it is in no floor."""
    for floor, patterns in enumerate(FLOORS[package].split("|")):
        if any(fnmatchcase(part, pattern) for pattern in patterns.split()):
            return floor
    return None


def height(package, part):
    """The floor, or above all floors: __init__, __main__, and names that are no module."""
    floor = floor_of(package, part)
    return len(FLOORS[package].split("|")) if floor is None else floor


def place(path):
    """Package and part of a file: cscalc/theory/law.py is the part theory of cscalc."""
    package, part = path.relative_to(ROOT).with_suffix("").parts[:2]
    return package, part


def imported(tree):
    """Names that a piece of code imports, wherever in it; import_module("x") counts too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__"):
                yield from (a.value for a in node.args if isinstance(a, ast.Constant))


def problems(path, source):
    """What is wrong with the imports of a file with this source."""
    package, part = place(path)
    for name in imported(ast.parse(source)):
        first, second = f"{name}.".split(".")[:2]
        if first in FORBIDDEN[package]:
            yield f"{package} must never import {first}"
        if first == package:
            if height(package, second) > height(package, part):
                yield f"{part} imports {second} from a floor above"
            if {part, second} in STRANGERS:
                yield f"{part} and {second} are strangers"


@every_file
def test_imports_point_down_or_stay_on_their_floor(path):
    assert list(problems(path, path.read_text(encoding="utf-8"))) == []


@every_file
def test_every_file_has_a_floor(path):
    package, part = place(path)
    known = floor_of(package, part) is not None or part in ("__init__", "__main__")
    assert known, (
        f"{path.relative_to(ROOT)} is in no floor: add {part} to FLOORS in tests/test_layers.py"
    )


def test_a_new_file_is_in_no_floor_until_it_is_added():
    assert floor_of("cscalc", "utils") is None
    assert floor_of("cscalc", "report_html") is None
    assert floor_of("validate", "report_html") == floor_of("validate", "run")


def test_no_part_has_two_floors():
    for package, floors in FLOORS.items():
        for path in FILES:
            found = [
                pattern
                for pattern in floors.replace("|", " ").split()
                if place(path)[0] == package and fnmatchcase(place(path)[1], pattern)
            ]
            assert len(found) <= 1, f"{path}: {found}"


def test_modules_import_one_another_in_no_circle():
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
    graph = {}
    for module, path in modules.items():
        body = ast.parse(path.read_text(encoding="utf-8")).body
        named = {name for node in body for name in imported_at_top(node)}
        graph[module] = {home for name in named if (home := home_of(name, modules))} - {module}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def imported_at_top(node):
    return imported(node) if isinstance(node, ast.Import | ast.ImportFrom) else ()


def home_of(name, modules):
    """The module that `name` is or lies in; None outside of the project."""
    for candidate in (name, name.rpartition(".")[0], f"{name.rpartition('.')[0]}.__init__"):
        if candidate in modules:
            return candidate
    return None


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("cscalc/cascade.py", "from cscalc.profile_of import x"),
        ("cscalc/profile.py", "def f():\n    from cscalc.theory.law import ewif"),
        ("cscalc/simulate/events.py", "from cscalc.theory import law"),
        ("cscalc/theory/law.py", "import cscalc.simulate"),
        ("cscalc/stats.py", "def f():\n    import torch.nn"),
        ("cscalc/cli.py", "from validate.run import run"),
        ("cscalc/records.py", "from importlib import import_module\nimport_module('torch')"),
        ("cscalc/theory/law.py", "from cscalc import ewif"),
        ("validate/sampling.py", "from validate.decode import generate"),
    ],
)
def test_the_check_sees_each_kind_of_forbidden_import(file, source):
    assert list(problems(ROOT / file, source))


def test_the_check_lets_allowed_imports_pass():
    source = "import numpy\nfrom cscalc.cascade import Cascade\nfrom cscalc.theory import _laws"
    assert list(problems(ROOT / "cscalc/theory/law.py", source)) == []
