"""Real models: measure acceptance and cost, run the cascade losslessly, compare with theory.

Imports `cscalc`, never the other way round. Needs torch and transformers
(``pip install 'cscalc[validate]'``).
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_EXPORTS = {
    "validate.batch": ("generate_many",),
    "validate.certificate": ("certify",),
    "validate.certificate_verdict": ("Certificate",),
    "validate.completion": ("Completion",),
    "validate.contexts": ("at_context",),
    "validate.decode": ("generate", "stream"),
    "validate.dsia": (
        "Combined", "EarlyExit", "Int8", "LayerSkip", "SlidingWindow", "hierarchy",
    ),
    "validate.dsia_choose": ("LayerChoice", "choose_layers"),
    "validate.dsia_models": ("self_draft",),
    "validate.dsia_names": ("parse_setting",),
    "validate.dsia_sessions": ("start_sessions",),
    "validate.dsia_table": ("DsiaTable", "dsia_table"),
    "validate.diagnosis": ("Diagnosis", "diagnose"),
    "validate.dytc": ("DyTC", "candidates_of"),
    "validate.dytc_learning": ("RouterSettings",),
    "validate.engine": ("CompiledModel", "Engine", "with_engine"),
    "validate.load": ("load_models",),
    "validate.lossless": ("exact_law",),
    "validate.measure": ("measure",),
    "validate.models": ("LanguageModel", "Models", "Session", "TableModel", "TransformersModel"),
    "validate.ngram": ("MaxGram", "OneShotDraft", "PromptLookup"),
    "validate.prompts": ("Prompt", "load_prompts"),
    "validate.reference": ("Reference",),
    "validate.report": ("Report", "report"),
    "validate.run": ("run",),
    "validate.rules": ("Rules",),
    "validate.sampling": ("Sampling",),
    "validate.statistical": ("FirstOf", "NGramModel"),
    "validate.ties": ("GreedyCheck", "compare_greedy"),
    "validate.tree_decode": ("TreeCompletion", "generate_tree", "stream_tree"),
    "validate.tree_shape": ("Comb", "TreeShape"),
}  # fmt: skip
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'validate' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _CallableModule(ModuleType):
    """A module with the name of its public function, which it calls when called."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **options)


class _Package(ModuleType):
    """Importing ``validate.run`` binds `run` to the module: ``validate.run(...)`` works still."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOME and type(value) is ModuleType:
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
