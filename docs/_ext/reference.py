"""The API reference: one page a module, written from what the packages export.

Nothing is listed by hand, so a new public name has an entry as soon as it exists. A name that
`cscalc` or `validate` exports is documented under that short name, on the page of its home.
"""

import inspect
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import cscalc
import cscalc.theory
import validate

SIMULATE = import_module("cscalc.simulate")  # the attribute of that name may be the function

INTRO = {
    "cscalc": "Theory and simulation: numpy, scipy, numba, sympy, xarray; it never imports torch.",
    "cscalc.theory": "Formulas by subject: exact laws, and the closed forms of the papers.",
    "cscalc.simulate": "Monte Carlo of the same cascades, event by event; it knows no formula.",
    "validate": "Real models: torch and transformers (`pip install 'cscalc[validate]'`).",
}
ORDER = [  # homes of cscalc's names in the order in which one meets them; others follow
    "cscalc.cascade", "cscalc.profile", "cscalc.acceptance", "cscalc.acceptance_memory",
    "cscalc.theory.law",
    "cscalc.optimize", "cscalc.choose", "cscalc.plan", "cscalc.export", "cscalc.simulate",
    "cscalc.theory.speculative",
]  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One documented object."""

    name: str  # under which it is documented and imported
    home: str  # module whose page it stands on
    value: object
    package: str = ""  # that exports it, if one does

    @property
    def row(self) -> tuple[str, str]:
        """A link to it, and the first sentence of its docstring."""
        return f":py:obj:`~{self.name}`", first_sentence(self.value)

    @property
    def directive(self) -> str:
        """What makes autodoc document it."""
        if isinstance(self.value, type):
            return f".. autoclass:: {self.name}\n   :members:\n"
        return f".. autofunction:: {self.name}\n"


def first_sentence(value: object) -> str:
    """First paragraph of a docstring, on one line."""
    return " ".join(inspect.cleandoc(value.__doc__ or "").split("\n\n")[0].split())


def public_modules(package: ModuleType) -> list[str]:
    """Modules of a package that are not private."""
    found = pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    return [one.name for one in found if not one.name.rpartition(".")[2].startswith("_")]


def exported(package: ModuleType) -> list[Entry]:
    """Names that a package loads on first use, by the module that defines them."""
    made = []
    for module, names in package._EXPORTS.items():
        for name in names:
            if not name.startswith("__"):
                value = getattr(import_module(module), name)
                short = f"{package.__name__}.{name}"
                hidden = importable_module(short)  # cscalc.sweep is also a module
                full = f"{short}.{name}" if hidden else short
                made.append(Entry(full, home_of(value), value, package.__name__))
    return made


def importable_module(name: str) -> bool:
    """Whether a module has this very name."""
    try:
        return bool(import_module(name))
    except ImportError:
        return False


def home_of(value: object) -> str:
    """Page on which an object is documented: its module, or `cscalc.simulate` as a whole."""
    module = value.__module__
    exported_here = getattr(value, "__name__", "") in SIMULATE.__all__
    inside = module.startswith("cscalc.simulate.") and exported_here
    return "cscalc.simulate" if inside else module


def own(module: str) -> list[Entry]:
    """Public functions and classes that a module defines, or that its `__all__` names."""
    loaded = import_module(module)
    if module == "cscalc.simulate":
        pairs = [(name, getattr(SIMULATE, name)) for name in SIMULATE.__all__]
    else:
        pairs = [(n, v) for n, v in vars(loaded).items() if getattr(v, "__module__", "") == module]
    return [
        Entry(f"{module}.{name}", module, value)
        for name, value in pairs
        if not name.startswith("_") and (inspect.isroutine(value) or isinstance(value, type))
    ]


def pages() -> dict[str, list[Entry]]:
    """Module -> what its page documents, each object once, under its shortest name."""
    short = {id(one.value): one for one in [*exported(cscalc), *exported(validate)]}
    homes = {one.home for one in short.values()}
    formulas = set(public_modules(cscalc.theory)) | {"cscalc.simulate"}
    made: dict[str, list[Entry]] = {}
    for module in sorted(homes | formulas):
        everything = module in formulas
        entries = [short.get(id(one.value), one) for one in own(module)]
        made[module] = [one for one in entries if everything or id(one.value) in short]
    return {module: entries for module, entries in made.items() if entries}


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Links, and what each is for."""
    lines = "\n".join(f"   * - {link}\n     - {text}" for link, text in rows)
    return f".. list-table::\n   :widths: 35 65\n   :class: names\n\n{lines}\n"


def heading(title: str, line: str) -> str:
    """A title and the line below it."""
    return f"{title}\n{line * len(title)}"


def module_page(module: str, entries: list[Entry]) -> str:
    """The page of one module."""
    parts = [heading(f"``{module}``", "="), f".. automodule:: {module}"]
    if len(entries) > 1:
        parts.append(table(one.row for one in entries))
    return "\n\n".join([*parts, *(one.directive for one in entries)])


def index_page(made: dict[str, list[Entry]]) -> str:
    """Contents of the reference: the exported names of each package, then all its pages."""
    parts = [heading("Reference", "="), "What is not on these pages is private and may change."]
    for package, intro in INTRO.items():
        parts += [heading(f"``{package}``", "-"), intro]
        names = [one for entries in made.values() for one in entries if one.package == package]
        if names:
            parts.append(table(one.row for one in sorted(names, key=lambda one: one.name.lower())))
        inside = [module for module in made if belongs(module, package)]
        inside.sort(key=lambda m: (ORDER.index(m) if m in ORDER else len(ORDER), m))
        if not names:
            loaded = [import_module(module) for module in inside]
            parts.append(table((f":py:mod:`{m.__name__}`", first_sentence(m)) for m in loaded))
        toc = "\n".join(f"   {module}" for module in inside)
        parts.append(f".. toctree::\n   :hidden:\n   :titlesonly:\n\n{toc}")
    return "\n\n".join(parts) + "\n"


def belongs(module: str, package: str) -> bool:
    """Whether a page stands in the section of a package; each stands in one."""
    inside = ("cscalc.theory", "cscalc.simulate")
    if package == "cscalc":
        return module.startswith("cscalc.") and not module.startswith(inside)
    return module == package or module.startswith(f"{package}.")


def write(app, config) -> None:
    """Write the pages that changed, remove those of modules that are gone."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    made = pages()
    texts = {f"{module}.rst": module_page(module, entries) for module, entries in made.items()}
    texts["index.rst"] = index_page(made)
    for old in folder.glob("*.rst"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app) -> dict[str, bool]:
    """Write the reference before Sphinx looks for sources."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
