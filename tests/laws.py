"""Small cascades, random profiles under every acceptance model, and how laws are compared."""

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st

from cscalc.acceptance import Acceptance, ByPosition, Conditional, Independent, Markov
from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from tests.branches import marginal

rates = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0))
seeds = st.integers(0, 2**32)
# a seed has nothing to shrink to, and every further example is an enumeration
enumerated = settings(deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
LAST = 3
KINDS = ("proposed", "kept", "corrected", "bonus")
SMALL = [  # every rule of the grammar, few enough tokens to enumerate
    Cascade(()),
    Cascade((Draft(1, 3),)),
    Cascade((Draft(1, 1), Draft(2, 2, until=3))),
    Cascade((Review(1, (Draft(2, 2),), rounds=2),)),
    Cascade((Review(1, (Draft(2, 2),), until=3), Draft(3, 1))),
    Cascade((Review(1, (Draft(2, 1), Draft(3, 1)), until=2),)),
    Cascade((Review(1, (Review(2, (Draft(3, 1),), rounds=1),), until=2),)),
]
small = st.sampled_from(SMALL)


def random_alphas(rng):
    alphas = rng.random((LAST + 1, LAST + 1))
    alphas[rng.random(alphas.shape) < 0.1] = 1.0
    alphas[rng.random(alphas.shape) < 0.1] = 0.0
    return alphas


def random_texts(rng, n_texts, length):
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    return [
        {pair: random_alphas(rng)[0, :1].repeat(length) * rng.random(length) for pair in pairs[k:]}
        for k in range(n_texts)
    ]


def table_model(rng):
    """ByPosition or Conditional on some pairs."""
    pairs = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
    pairs = [pair for pair in pairs if rng.random() < 0.7]
    if rng.random() < 0.5:
        return ByPosition({pair: rng.random(rng.integers(1, 5)) for pair in pairs})
    tables = [{pair: rng.random() for pair in pairs} for _ in range(3)]
    return Conditional(tables[0], tables[1], tables[2] if rng.random() < 0.5 else None)


def markov_model(rng):
    to_easy, to_hard = rng.choice([0.0, 1.0, rng.random()], 2)
    return Markov(random_alphas(rng), random_alphas(rng), max(to_easy, 0.01), to_hard)


def profile_of(rng, model: Acceptance | None = None, *, curves=True):
    slope = rng.random() * 0.2
    return Profile(
        random_alphas(rng),
        rng.random(LAST),
        one_shot=[3],
        verify={0: lambda m: 1 + slope * (m - 1), 1: lambda m: m**0.5} if curves else None,
        acceptance=Independent() if model is None else model,
    )


def agree(law, other, tolerance):
    for name in ("pmf", "passes", "costs"):
        np.testing.assert_allclose(
            getattr(law, name), getattr(other, name), rtol=tolerance, atol=tolerance
        )


def compare(law, branches):
    """Check a cycle's law against {(emitted, passes, cost): probability}."""
    emitted = marginal(branches, lambda result: result[0])
    for tokens, chance in enumerate(law.pmf):
        assert chance == pytest.approx(emitted.get(tokens, 0.0), abs=1e-12)
    passes = sum(chance * np.array(result[1]) for result, chance in branches.items())
    np.testing.assert_allclose(law.passes, passes, atol=1e-9)
    cost = sum(chance * result[2] for result, chance in branches.items())
    assert law.cost == pytest.approx(cost, abs=1e-8)  # costs of branches are rounded to 1e-9
