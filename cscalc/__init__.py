"""Cascade speculative decoding: EWIF, bounds and optimal cascades, exact and simulated.

Models are integers: 0 is the target, 1..n are drafts from dear to cheap. Start with
``cscalc.optimal_config(alphas, costs)``, or describe a `Cascade` and a `Profile` and ask for
`ewif`, `token_law`, `simulate`. Nothing here imports torch.
"""

from importlib import import_module
from typing import Any

from cscalc._version import __version__

_EXPORTS = {
    "cscalc.acceptance": (
        "BetaMixture",
        "ByPosition",
        "Conditional",
        "Independent",
        "Markov",
        "Mixture",
        "Trace",
    ),
    "cscalc.cascade": ("Cascade", "Draft", "Review"),
    "cscalc.choose": ("optimal_for_prompts",),
    "cscalc.fronts": ("DeferralFront", "deferral_front"),
    "cscalc.export": ("EngineSettings",),
    "cscalc.optimize": ("optimal_config",),
    "cscalc.plan": ("Plan",),
    "cscalc.profile": ("Profile",),
    "cscalc.resamples": ("alpha_posterior", "bootstrap_profiles"),
    "cscalc.rivals": ("best_probability", "prompts_to_settle"),
    "cscalc.simulate": ("Tally", "compare", "simulate_until"),
    "cscalc.simulate.events": ("simulate",),
    "cscalc.sweep": ("sweep",),
    "cscalc.theory.batch_lengths": ("per_batch_lengths",),
    "cscalc.theory.adaptive": ("AdaptiveBound", "adaptive_bound"),
    "cscalc.theory.break_even": ("break_even_alpha", "break_even_cost", "ceilings"),
    "cscalc.theory.cas_spec": ("effective_bound",),
    "cscalc.theory.cs_drafting": ("vertical_ewif",),
    "cscalc.theory.horizontal": ("horizontal_ewif",),
    "cscalc.theory.law": (
        "CycleLaw",
        "cycle_cost",
        "cycle_law",
        "ewif",
        "expected_tokens",
        "token_law",
    ),
    "cscalc.theory.lenience": ("Lenience",),
    "cscalc.theory.reply": ("reply_law", "reply_quantile"),
    "cscalc.theory.sensitivity": ("ewif_gradient",),
    "cscalc.theory.speculative": ("optimal_length", "speculative_ewif"),
    "cscalc.uncertainty": ("ewif_interval", "tokens_interval"),
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
