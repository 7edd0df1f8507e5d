"""Rates of measured prompts: pooled, of each prompt, and how each pulls on them."""

import numpy as np
import pytest
from hypothesis import given

from cscalc.own_rates import pooled_rates
from cscalc.rates import rate_sums
from tests.measured import prompts, synthetic


@given(prompts())
def test_pooled_rates_equal_a_slow_sum(records):
    got = rate_sums(records, 3, one_shot=[2]).pooled()
    for i, j in ((0, 1), (0, 2), (1, 2)):
        total = count = 0.0
        for record in records:
            for overlap in record["overlap"][f"{i},{j}"]:
                total += overlap
                count += 1
        assert got[i, j] == pytest.approx(total / count, rel=1e-12)
    assert np.all(np.diag(got) == 1.0)
    np.testing.assert_allclose(got, pooled_rates(records, 3, [2]), rtol=1e-12)


@given(prompts())
def test_own_rates_are_those_of_each_prompt_alone(records):
    own = rate_sums(records, 3, one_shot=[2]).own()
    for rates, record in zip(own, records, strict=True):
        np.testing.assert_allclose(rates, pooled_rates([record], 3, [2]), rtol=1e-12)


def test_a_one_shot_model_reviews_nothing():
    records = [{"overlap": {"0,1": [0.5], "0,2": [0.4]}}]  # 1 is one-shot: no pair 1,2
    assert rate_sums(records, 3, one_shot=[1]).pooled()[1, 2] == 0.0


@given(prompts())
def test_prompts_weigh_by_their_contexts(records):
    twice = [{"overlap": {k: v * 2 for k, v in r["overlap"].items()}} for r in records]
    joined = {k: [x for r in records for x in r["overlap"][k]] for k in records[0]["overlap"]}
    once = rate_sums(records, 3, one_shot=[2]).pooled()
    for other in (twice, [{"overlap": joined}]):
        np.testing.assert_allclose(rate_sums(other, 3, one_shot=[2]).pooled(), once, rtol=1e-12)


def test_influence_is_what_leaving_a_little_of_a_prompt_out_does():
    records = synthetic(7, np.random.default_rng(3))
    sums = rate_sums(records, 2)
    step = 1e-7
    for p in range(7):
        weights = np.ones(7)
        weights[p] += step
        accepted = (weights[:, None, None] * sums.accepted).sum(axis=0)[0, 1]
        judged = (weights[:, None, None] * sums.judged).sum(axis=0)[0, 1]
        slope = (accepted / judged - sums.pooled()[0, 1]) / step * 7  # of a mean over 7 prompts
        assert sums.influence()[p, 0, 1] == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rate_sums([{}], 2), ValueError, "record 0 has no overlaps"),
        (lambda: rate_sums([], 2), ValueError, "no context was measured for the pair 0,1"),
        (
            lambda: rate_sums([{"overlap": {"0,1": ["a"]}}], 2),
            TypeError,
            "overlap of 0,1 in record 0",
        ),
        (
            lambda: rate_sums([{"overlap": {"0,1": [float("nan")]}}], 2),
            ValueError,
            "must be a list of rates in",
        ),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()
