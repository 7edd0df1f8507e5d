"""A replay of a measured text against the decoder itself, and against the exact law."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from cscalc.profile import Profile  # noqa: E402
from cscalc.simulate.replay import replay, replay_prompts  # noqa: E402
from cscalc.theory.law import cycle_law  # noqa: E402
from tests.decoding import small_cascades, table_models  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.overlaps import measure_overlaps  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

COSTS = [0.2, 0.1, 0.01]


def measured(models, prompt, n_tokens, sampling, seed=0):
    """Record of the target's own text after `prompt`, and a profile that holds it."""
    reply = generate(
        Cascade(()), models, prompt, generator=torch.Generator().manual_seed(seed),
        max_tokens=n_tokens, sampling=sampling,
    ).tokens  # fmt: skip
    found = measure_overlaps(models, prompt, reply, sampling)
    record = {"question_id": 0, "category": "a", **found.to_dict()}
    profile = Profile([0.5] * 3, COSTS, one_shot=(3,), measurement={"prompts": [record]})
    return record, profile


@given(st.data(), st.integers(3, 8), st.integers(0, 10_000))
@settings(max_examples=80, deadline=None)
def test_a_greedy_replay_is_the_decoders_own_run(data, vocab_size, seed):
    """The same tokens in every cycle, for every cascade, without running a model."""
    cascade = data.draw(small_cascades(vocab_size, most_strings=10**9))
    models = table_models(vocab_size, seed, order=2)
    greedy = Sampling(0.0)
    n_tokens = 40
    record, profile = measured(models, [0, 1], n_tokens, greedy)
    run = generate(
        cascade, models, [0, 1], generator=torch.Generator(), max_tokens=n_tokens, sampling=greedy
    )
    replayed = replay(cascade, profile, record, rng=np.random.default_rng(0))
    inside = len(replayed.emitted) - 1  # the last cycle may look past the measured text
    assert replayed.emitted[:inside] == run.emitted[:inside]
    assert abs(len(replayed.emitted) - run.cycles) <= 1


def test_drafts_alone_cost_in_a_replay_what_the_decoder_spent():
    models = table_models(5, seed=4, order=2)
    greedy = Sampling(0.0)
    record, profile = measured(models, [0, 1], 60, greedy)
    cascade = Cascade((Draft(1, 2), Draft(3, 3)))
    run = generate(
        cascade, models, [0, 1], generator=torch.Generator(), max_tokens=60, sampling=greedy
    )
    replayed = replay(cascade, profile, record, rng=np.random.default_rng(0))
    assert replayed.costs[0] == run.cycles
    assert replayed.costs[1] == pytest.approx(COSTS[0] * run.passes[1])


def test_sampled_replay_has_the_decoders_tokens_per_cycle():
    """Decoder: 150 runs of 60 tokens; replay: the texts of 150 others, 4 times each.

    Means over runs; z below 5 (two-sided false alarm 6e-7).
    """
    models = table_models(4, seed=8)
    cascade = Cascade((Draft(1, 3), Draft(2, 1)))
    ran, replayed = [], []
    for seed in range(150):
        run = generate(
            cascade, models, [0], generator=torch.Generator().manual_seed(seed), max_tokens=60
        )
        ran.append((sum(run.emitted), run.cycles))
        record, profile = measured(models, [0], 60, Sampling(), seed=10_000 + seed)
        rng = np.random.default_rng(seed)
        found = [replay(cascade, profile, record, rng=rng).emitted for _ in range(4)]
        replayed.append((sum(map(sum, found)), sum(map(len, found))))

    def mean_and_sigma(pairs):
        tokens, cycles = np.array(pairs, dtype=float).T
        ratio = tokens.sum() / cycles.sum()
        return ratio, np.std(tokens - ratio * cycles) / cycles.mean() / len(pairs) ** 0.5

    (a, sigma_a), (b, sigma_b) = mean_and_sigma(ran), mean_and_sigma(replayed)
    assert abs(a - b) < 5.0 * np.hypot(sigma_a, sigma_b)


@pytest.mark.parametrize(
    "cascade",
    [Cascade((Draft(1, 4),)), Cascade((Review(1, (Draft(2, 3),), until=3), Draft(2, 2)))],
    ids=str,
)
def test_with_equal_rates_at_every_place_a_replay_follows_the_exact_law(cascade):
    """N = 30,000 places, acceptance 0.7 and 0.4 everywhere; z below 5 (false alarm 6e-7)."""
    n = 30_000
    record = {
        "question_id": 0, "contexts": n, "calls": {}, "proposed": {},
        "overlap": {"0,1": [0.7] * n, "0,2": [0.4] * n, "1,2": [0.6] * n},
        "kept": {"0,1": [0.7] * n, "0,2": [0.4] * n},
    }  # fmt: skip
    alphas = [[1, 0.7, 0.4], [0, 1, 0.6], [0, 0, 1]]
    profile = Profile(alphas, [0.2, 0.05], measurement={"prompts": [record]})
    sums = replay_prompts(cascade, profile, rng=np.random.default_rng(5), repeats=1)[0]
    law = cycle_law(cascade, profile)
    sigma = (law.variance / sums[1]) ** 0.5
    assert abs(sums[0] / sums[1] - law.mean) < 5.0 * sigma
    np.testing.assert_allclose(sums[2:] / sums[1], law.costs, rtol=0.02)


def test_a_profile_without_places_is_refused():
    cascade, rng = Cascade((Draft(1, 1),)), np.random.default_rng(0)
    with pytest.raises(ValueError, match="no measured prompts"):
        replay_prompts(cascade, Profile([0.5], [0.1]), rng=rng)
    old = {"question_id": 1, "contexts": 3, "overlap": {"0,1": [1.0, 0.0, 1.0]}}
    with pytest.raises(ValueError, match="measure again"):
        replay_prompts(cascade, Profile([0.5], [0.1], measurement={"prompts": [old]}), rng=rng)
