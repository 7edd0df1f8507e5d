"""Cascade speculative decoding: EWIF, bounds and optimal cascades, exact and simulated.

Models are integers: 0 is the target, 1..n are drafts from dear to cheap. Start with
``cscalc.optimal_config(alphas, costs)``, or describe a `Cascade` and a `Profile` and ask for
`ewif`, `token_law`, `simulate`. Nothing here imports torch.
"""

from importlib import import_module
from typing import Any

from cscalc._version import __version__

_EXPORTS = {
    "cscalc.cascade": ("Cascade", "Draft", "Review"),
    "cscalc.profile": ("Profile",),
    "cscalc.plan": ("Plan",),
    "cscalc.optimize": ("optimal_config",),
    "cscalc.choose": ("optimal_for_prompts",),
    "cscalc.theory.law": (
        "CycleLaw",
        "cycle_cost",
        "cycle_law",
        "ewif",
        "expected_tokens",
        "token_law",
    ),
    "cscalc.theory.speculative": ("optimal_length", "speculative_ewif"),
    "cscalc.theory.cs_drafting": ("vertical_ewif",),
    "cscalc.theory.horizontal": ("horizontal_ewif",),
    "cscalc.theory.cas_spec": ("effective_bound",),
    "cscalc.theory.adaptive": ("AdaptiveBound", "adaptive_bound"),
    "cscalc.theory.lenience": ("Lenience",),
    "cscalc.simulate": ("Tally", "simulate_until"),
    "cscalc.simulate.events": ("simulate",),
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use, so that ``import cscalc`` stays light."""
    if name not in _HOME:
        raise AttributeError(f"module 'cscalc' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
