"""The public names are a contract: notebooks, figures and users' scripts build on them."""

import importlib.util
from dataclasses import is_dataclass
from importlib import import_module

import pytest

import cscalc

CONTRACT = {  # name -> its home; a home that is not written yet asks for nothing
    "Cascade": "cscalc.cascade",
    "Draft": "cscalc.cascade",
    "Review": "cscalc.cascade",
    "Profile": "cscalc.profile",
    "Plan": "cscalc.plan",
    "Tally": "cscalc.simulate",
    "adaptive_bound": "cscalc.theory.adaptive",
    "cycle_cost": "cscalc.theory.law",
    "effective_bound": "cscalc.theory.effective",
    "ewif": "cscalc.theory.law",
    "expected_tokens": "cscalc.theory.law",
    "horizontal_ewif": "cscalc.theory.horizontal",
    "optimal_config": "cscalc.optimize",
    "simulate": "cscalc.simulate",
    "speculative_ewif": "cscalc.theory.speculative",
    "sweep": "cscalc.sweep",
    "token_law": "cscalc.theory.law",
    "vertical_ewif": "cscalc.theory.cs_drafting",
}
EXTRAS = {  # public, and not in the contract
    "AdaptiveBound", "BetaMixture", "ByPosition", "Conditional", "CycleLaw", "DeferralFront",
    "Independent", "deferral_front",
    "EngineSettings", "Lenience", "Markov", "Mixture", "Trace", "__version__", "alpha_posterior",
    "best_probability", "bootstrap_profiles", "break_even_alpha", "break_even_cost", "ceilings",
    "compare", "cycle_law", "ewif_gradient", "ewif_interval", "optimal_for_prompts",
    "optimal_length", "per_batch_lengths", "prompts_to_settle", "reply_law", "reply_quantile",
    "simulate_until", "tokens_interval",
}  # fmt: skip


def exists(name):
    home = CONTRACT[name]
    return importlib.util.find_spec(home) is not None and hasattr(import_module(home), name)


def test_public_names_are_those_of_the_contract_that_exist_and_the_known_extras():
    written = {name for name in CONTRACT if exists(name)}
    missing = sorted(written - set(cscalc.__all__))
    assert not missing, "export " + ", ".join(f"{n} (from {CONTRACT[n]})" for n in missing)
    assert set(cscalc.__all__) - written == EXTRAS
    assert len(cscalc.__all__) == len(set(cscalc.__all__))


@pytest.mark.parametrize("name", sorted(set(cscalc.__all__) - {"__version__"}))
def test_every_public_name_resolves_and_has_a_docstring(name):
    value = getattr(cscalc, name)
    assert documented(value)
    assert name in dir(cscalc)


def documented(value):
    doc = (value.__doc__ or "").strip()
    made_by_dataclass = is_dataclass(value) and doc.startswith(f"{value.__name__}(")
    return bool(doc) and not made_by_dataclass


@pytest.mark.parametrize("name", sorted(set(cscalc.__all__) - {"__version__", "simulate"}))
def test_methods_of_public_classes_have_docstrings(name):
    value = getattr(cscalc, name)
    members = vars(value) if isinstance(value, type) else {}
    undocumented = [
        member
        for member, one in members.items()
        if not member.startswith("_")
        and (callable(one) or isinstance(one, property | classmethod | staticmethod))
        and not (one.__doc__ or "").strip()
    ]
    assert undocumented == []


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_a_name_of_the_contract_is_the_object_of_its_home(name):
    if name in cscalc.__all__ and name not in ("simulate", "sweep"):  # packages of those names
        assert getattr(cscalc, name) is getattr(import_module(CONTRACT[name]), name)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'cscalc' has no attribute 'optimal'"):
        cscalc.optimal  # noqa: B018


def test_every_public_name_of_validate_resolves_and_has_a_docstring():
    pytest.importorskip("torch")
    import validate

    for name in validate.__all__:
        assert documented(getattr(validate, name)), name


def test_a_module_with_the_name_of_its_function_can_be_called():
    pytest.importorskip("torch")
    import validate

    homes = [f"validate.{name}" for name in validate.__all__]
    modules = [import_module(home) for home in homes if importlib.util.find_spec(home)]
    assert {module.__name__ for module in modules} >= {"validate.measure", "validate.run"}
    for module in modules:
        function = module.__name__.rpartition(".")[2]
        with pytest.raises(TypeError, match=rf"{function}\(\)"):  # it is called, and wants more
            module(no_such_option=1)
