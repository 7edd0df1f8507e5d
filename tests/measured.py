"""Profiles made of records of prompts, and the cascades that are compared on them."""

import numpy as np
from hypothesis import strategies as st

from cscalc.cascade import Cascade, Draft, Review
from cscalc.own_rates import combined, own_profiles, pooled_rates
from cscalc.profile import Profile
from cscalc.theory.law import cycle_law

LENGTHS = (6, 3, 12)
SINGLE = [Cascade((Draft(1, length),)) for length in LENGTHS]
VERTICAL = Cascade((Review(1, (Draft(2, 6),), until=6),))
rates = st.floats(0.0, 1.0)


@st.composite
def prompts(draw, most=5):
    """Records of 1 to `most` prompts for models 0, 1 and the one-shot model 2."""
    records = []
    for number in range(draw(st.integers(1, most))):
        overlap = {
            pair: draw(st.lists(rates, min_size=1, max_size=6)) for pair in ("0,1", "0,2", "1,2")
        }
        records.append({"question_id": number, "contexts": 6, "overlap": overlap})
    return records


def measured(records, costs=(0.1,), one_shot=(), **options):
    """Profile with the rates of its own records."""
    alphas = pooled_rates(records, len(costs) + 1, one_shot)
    measurement = {"prompts": list(records)}
    return Profile(alphas, costs, one_shot=one_shot, measurement=measurement, **options)


def synthetic(n_prompts, rng, contexts=40):
    """Prompts of one draft whose rate varies by prompt around .75, and 1 in 3 places by place."""
    own = rng.beta(6.0, 2.0, n_prompts)
    return [{"overlap": {"0,1": rng.beta(9 * r, 9 * (1 - r), contexts).tolist()}} for r in own]


def varied(n_prompts, seed):
    """A profile of two drafts whose rates vary over prompts, the second one-shot."""
    rng = np.random.default_rng(seed)
    records = [
        {
            "question_id": number,
            "contexts": 12,
            "overlap": {
                pair: rng.beta(8 * mean, 8 * (1 - mean), 12).tolist()
                for pair, mean in zip(("0,1", "0,2", "1,2"), rng.random(3), strict=True)
            },
        }
        for number in range(n_prompts)
    ]
    return measured(records, (0.2, 0.01), (2,))


def own_ewif(cascade, profile):
    """All tokens over all cost where every prompt writes equally much, prompt by prompt."""
    laws = [cycle_law(cascade, one) for one in own_profiles(profile).values()]
    return combined(np.ones(len(laws)), [x.mean for x in laws], [x.cost for x in laws])
