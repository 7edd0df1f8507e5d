"""Choosing over prompts that differ: against enumeration, and against one pooled rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.cascade import Cascade, Draft
from cscalc.choose import optimal_for_prompts
from cscalc.own_rates import combined, own_profiles, pooled_rates
from cscalc.plan import Plan
from cscalc.profile import Profile
from cscalc.theory.law import cycle_law


def measured_profile(rates, costs, one_shot=(), contexts=100):
    """Profile whose prompts have these rates, shape (prompts, drafts), by every reviewer."""
    rates = np.asarray(rates, dtype=float)
    n_models = rates.shape[1] + 1
    records = []
    for number, row in enumerate(rates):
        overlap = {
            f"{i},{j}": [row[j - 1]] * contexts for j in range(1, n_models) for i in range(j)
        }
        records.append(
            {"question_id": number, "category": "a", "contexts": contexts, "overlap": overlap}
        )
    pooled = pooled_rates(records, n_models, one_shot)
    return Profile(pooled, costs, one_shot=one_shot, measurement={"prompts": records})


def over_prompts(cascade, profile):
    laws = [cycle_law(cascade, one) for one in own_profiles(profile).values()]
    return combined(np.ones(len(laws)), [x.mean for x in laws], [x.cost for x in laws])


@given(
    st.lists(st.floats(0.05, 0.95), min_size=2, max_size=4), st.floats(0.02, 0.3), st.booleans()
)
@settings(max_examples=20, deadline=None)
def test_one_draft_is_as_good_as_complete_enumeration(rates, cost, one_shot):
    profile = measured_profile([[r] for r in rates], [cost], one_shot=(1,) if one_shot else ())
    plan = optimal_for_prompts(profile)
    best = max(over_prompts(Cascade((Draft(1, n),) if n else ()), profile)[2] for n in range(65))
    assert over_prompts(plan.cascade, profile)[2] == pytest.approx(best, rel=1e-6)
    assert plan.limits["own_rates"]["ewif"] == pytest.approx(best, rel=1e-6)


def test_a_copying_draft_is_not_overrated():
    """Half the prompts copy (0.97), half do not (0.02): the pooled rate lets it draft alone."""
    measured = measured_profile([[0.6, 0.97], [0.6, 0.02]], [0.12, 0.0], one_shot=(2,))
    profile = Profile(
        measured.alphas, measured.costs, one_shot=(2,), measurement=measured.measurement,
        verify=[1.0 + 0.05 * m for m in range(64)],
    )  # fmt: skip
    plan = optimal_for_prompts(profile)
    assert plan.ewif < plan.alternatives[0].ewif  # with one rate another looks better
    pooled_choice = plan.alternatives[0].cascade
    chosen = over_prompts(plan.cascade, profile)[2]
    assert chosen > 1.02 * over_prompts(pooled_choice, profile)[2]
    said = plan.explain()
    assert "would look better" in said
    own = plan.limits["own_rates"]
    assert own["by"] == "law"
    assert f"EWIF {own['ewif']:.4g} over these prompts, each at its own rates: " in said
    assert f"EWIF {plan.ewif:.4g} at one pooled rate for all prompts (plan.ewif) = " in said
    assert "alternatives are ranked by their EWIF at the pooled rate, not by the number" in said
    assert "chosen on the own rates of 2 prompts" in plan.explain().lower()


def test_equal_prompts_choose_what_one_rate_chooses():
    profile = measured_profile([[0.8, 0.4]] * 3, [0.1, 0.001], one_shot=(2,))
    plan = optimal_for_prompts(profile)
    assert plan.limits["own_rates"]["ewif"] == pytest.approx(plan.alternatives[0].ewif, rel=1e-6)


def test_such_a_plan_survives_a_round_trip(tmp_path):
    plan = optimal_for_prompts(measured_profile([[0.9], [0.3]], [0.1]))
    plan.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert again == plan
    assert again.explain() == plan.explain()


def test_a_profile_without_prompts_is_refused():
    with pytest.raises(ValueError, match="no measured prompts"):
        optimal_for_prompts(Profile([0.8], [0.1]))
    with pytest.raises(ValueError, match="no context was measured for the pair 0,1"):
        own_profiles(
            Profile([0.8], [0.1], measurement={
                "prompts": [{"question_id": 1, "contexts": 3, "overlap": {}}]
            })
        )  # fmt: skip


@given(st.lists(st.floats(1.0, 10.0), min_size=1, max_size=6))
def test_means_combine_harmonically(means):
    tokens, _, _ = combined(np.ones(len(means)), means, np.ones(len(means)))
    assert tokens == pytest.approx(len(means) / sum(1 / m for m in means))
    assert min(means) - 1e-9 <= tokens <= max(means) + 1e-9
