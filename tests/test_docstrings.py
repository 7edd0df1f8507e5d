"""`help()` teaches: every public function says what to pass, what comes back, and shows it."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import cscalc
import cscalc.theory

MODULES = [
    *(f"cscalc.theory.{m.name}" for m in pkgutil.iter_modules(cscalc.theory.__path__)),
    "cscalc.export",
    "cscalc.optimize",
]
OWN = {  # no paper's
    "adaptive", "formula", "gpus", "means", "reply", "segments", "series", "symbols",
}  # fmt: skip


NOT_FOR_USERS = {  # bases of others, rows of printed tables, parts of `Calculus`
    "ContextRule", "DeferralRule", "TokenRule", "Affine", "Node", "KMatrix", "OperationsRow",
    "SimulatedRow", "SpecBenchRow", "SwiRow", "T5Row",
}  # fmt: skip


def public_names():
    """Names of `cscalc.__all__` and of the public modules of `cscalc.theory`."""
    found = {}
    for module in MODULES:
        if not module.rpartition(".")[2].startswith("_"):
            for name, one in vars(importlib.import_module(module)).items():
                if not name.startswith("_") and getattr(one, "__module__", "") == module:
                    found[f"{module}.{name}"] = one
    for name in cscalc.__all__:
        one = getattr(cscalc, name)
        found[f"{getattr(one, '__module__', 'cscalc')}.{name}"] = one
    return found


FUNCTIONS = {name: one for name, one in public_names().items() if inspect.isfunction(one)}
CLASSES = {
    name: one
    for name, one in public_names().items()
    if inspect.isclass(one) and one.__name__ not in NOT_FOR_USERS
}
every_function = pytest.mark.parametrize("name", sorted(FUNCTIONS))


def sections(function):
    """Sections of a numpydoc docstring: title -> text."""
    parts = re.split(r"^ *([A-Z][a-z]+)\n *-{3,}$", function.__doc__ or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def wanting(function):
    """What the docstring lacks."""
    found, signature = sections(function), inspect.signature(function)
    documented = re.findall(r"^ *([*\w, ]+?)(?: :.*)?$", found.get("Parameters", ""), re.MULTILINE)
    names = {name.strip(" *") for line in documented for name in line.split(",")}
    for parameter in signature.parameters:
        if parameter not in names:
            yield f"parameter {parameter}"
    gives_back = signature.return_annotation not in (None, "None")
    if gives_back and not {"Returns", "Yields"} & set(found):
        yield "Returns"
    if not gives_back and "Raises" not in found:
        yield "Raises, as it returns nothing"
    if "raise " in inspect.getsource(function) and "Raises" not in found:
        yield "Raises"
    if ">>>" not in found.get("Examples", ""):
        yield "Examples with a line that runs"


@every_function
def test_every_public_function_has_the_sections_that_teach(name):
    assert list(wanting(FUNCTIONS[name])) == []


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_public_class_says_what_it_holds_and_shows_it(name):
    found = sections(CLASSES[name])
    fields = dataclasses.is_dataclass(CLASSES[name]) and dataclasses.fields(CLASSES[name])
    assert not fields or {"Parameters", "Attributes"} & set(found)
    assert ">>>" in found.get("Examples", "")
    for method, one in vars(CLASSES[name]).items():
        if not method.startswith("_") and callable(one):
            assert inspect.getdoc(getattr(CLASSES[name], method)), method


@every_function
def test_the_first_line_is_one_sentence(name):
    head, _, rest = inspect.cleandoc(FUNCTIONS[name].__doc__).partition("\n")
    assert head.endswith(".")
    assert not rest or rest.startswith("\n")


@pytest.mark.parametrize(
    "name", sorted(m.name for m in pkgutil.iter_modules(cscalc.theory.__path__))
)
def test_every_module_of_formulas_names_its_source(name):
    if not name.startswith("_"):
        text = Path(importlib.import_module(f"cscalc.theory.{name}").__file__).read_text("utf-8")
        assert (name in OWN) != bool(re.search(r"arXiv:\d{4}\.\d{5}|CACM", text))


def test_the_check_sees_what_is_missing():
    def taught(alpha: float, length: int) -> float:
        """Give an example.

        Parameters
        ----------
        alpha, length : float
            Numbers.

        Returns
        -------
        float
            Their product.

        Examples
        --------
        >>> 1 + 1
        2
        """
        return alpha * length

    def untaught(alpha: float) -> float:
        """Give one."""
        if alpha > 1.0:
            raise ValueError
        return alpha

    assert list(wanting(taught)) == []
    example = "Examples with a line that runs"
    assert set(wanting(untaught)) == {"parameter alpha", "Returns", "Raises", example}
