"""Real models: measure acceptance and cost, run the cascade losslessly, compare with theory.

Imports `cscalc`, never the other way round. Needs torch and transformers
(``pip install 'cscalc[validate]'``).
"""

from importlib import import_module
from typing import Any

_EXPORTS = {
    "validate.decode": ("Completion", "generate", "stream"),
    "validate.load": ("load_models",),
    "validate.lossless": ("exact_law",),
    "validate.measure": ("measure",),
    "validate.models": ("LanguageModel", "Models", "Session", "TableModel", "TransformersModel"),
    "validate.ngram": ("MaxGram", "OneShotDraft", "PromptLookup"),
    "validate.prompts": ("Prompt", "load_prompts"),
    "validate.reference": ("Reference",),
    "validate.report": ("Report", "report"),
    "validate.run": ("run",),
    "validate.sampling": ("Sampling",),
    "validate.statistical": ("FirstOf", "NGramModel"),
}
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
