"""Compiled draws, corrections and top-p against their definitions, written out in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from validate import draws  # noqa: E402
from validate.sampling import DenseLaw, PointLaw, Sampling  # noqa: E402
from validate.verify import accept_probability, correction  # noqa: E402

DTYPES = (np.float32, np.float64)
SIZES = (1, 2, 255, 256, 257, 700, 1024)


def random_law(rng, size, dtype):
    """A law of which a third of the tokens has no mass."""
    weights = rng.exponential(size=size) ** 3 * (rng.random(size) < 0.67)
    weights[rng.integers(size)] += 0.1
    return (weights / weights.sum()).astype(dtype)


@given(st.sampled_from(SIZES), st.sampled_from(DTYPES), st.floats(0, 1, exclude_max=True),
       st.integers(0, 2**31))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_draw_inverts_the_cumulative_law(size, dtype, uniform, seed):
    law = random_law(np.random.default_rng(seed), size, dtype)
    token = draws.invert(law, uniform)
    ends = law.cumsum(dtype=np.float64)
    assert law[token] > 0.0
    before = ends[token] - law[token]
    assert before - 1e-12 <= uniform * ends[-1] <= ends[token] + 1e-12


def test_every_token_is_drawn_as_often_as_its_mass():
    """A grid of 1e5 uniforms: each token within 2 of its share, for its two ends are cut."""
    law = random_law(np.random.default_rng(5), 600, np.float64)
    n = 100_000
    drawn = np.bincount([draws.invert(law, (i + 0.5) / n) for i in range(n)], minlength=600)
    assert np.abs(drawn - n * law).max() < 2.0


@pytest.mark.parametrize("size", [3, 256, 513])
def test_what_rounding_pushes_past_the_end_is_the_last_token_with_mass(size):
    law = np.zeros(size)
    law[size // 2] = 1.0
    assert draws.invert(law, np.nextafter(1.0, 0.0)) == size // 2
    assert draws.invert(law, 0.0) == size // 2
    assert draws.invert(law, 1.0) == size // 2  # as if rounding had reached the total


@given(st.sampled_from(SIZES[1:]), st.sampled_from(DTYPES), st.floats(1, 3),
       st.floats(0, 1, exclude_max=True), st.integers(0, 2**31))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_correction_is_the_excess_without_writing_it_down(size, dtype, factor, uniform, seed):
    rng = np.random.default_rng(seed)
    own, draft = random_law(rng, size, dtype), random_law(rng, size, dtype)
    excess = np.maximum(factor * own.astype(np.float64) - draft, 0.0)
    if excess.sum() < 1e-3:
        return
    law = correction(DenseLaw(torch.from_numpy(own)), DenseLaw(torch.from_numpy(draft)), factor)
    within = 1e3 * float(np.finfo(dtype).eps)
    dense = law.dense()
    assert dense.dtype == torch.from_numpy(own).dtype
    np.testing.assert_allclose(dense.numpy(), excess / excess.sum(), atol=within)
    token = law.draw(uniform)
    assert law.prob(token) == pytest.approx(float(dense[token]), abs=within)
    assert excess[token] > 0.0
    ends = excess.cumsum() / excess.sum()
    assert ends[token] - excess[token] / excess.sum() - within <= uniform <= ends[token] + within


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lenience", [1.0, 1.7])
def test_a_point_and_its_dense_law_have_the_same_correction(dtype, lenience):
    rng = np.random.default_rng(2)
    own = DenseLaw(torch.tensor(random_law(rng, 300, np.float64), dtype=dtype))
    token = int(own.probs.argmax())
    point = PointLaw(token, 300, dtype)
    as_point = correction(own, point, lenience).dense()
    as_dense = correction(own, DenseLaw(point.dense()), lenience).dense()
    torch.testing.assert_close(as_point, as_dense)
    assert float(as_point[token]) == 0.0


@pytest.mark.parametrize(
    ("p", "q", "token"),
    [
        ([0.30294069647789, 0.6970592737197876], [0.30294069647789, 0.6970593333244324], 1),
        ([1.0, 2.345639636436867e-15], [1.0, 3.746540855331659e-08], 1),
    ],
)
def test_what_rounding_rejects_follows_the_target(p, q, token):
    """float32 laws that differ by rounding: the coin may reject, and then no mass is left."""
    target, draft = DenseLaw(torch.tensor(p)), DenseLaw(torch.tensor(q))
    assert accept_probability(target, draft, token) < 1.0
    assert correction(target, draft) is target


def test_a_law_that_is_no_number_is_said():
    law = DenseLaw(torch.tensor([0.5, float("nan")]))
    for draft in (DenseLaw(torch.tensor([0.5, 0.5])), PointLaw(0, 2, torch.float32)):
        with pytest.raises(ValueError, match="a law is not a number"):
            correction(law, draft)


def test_no_temperature_between_greedy_and_what_float32_holds():
    with pytest.raises(ValueError, match=r"temperature must be 0 or >= 1e-06, got 1e-40"):
        Sampling(1e-40)
    law = Sampling(1e-6).law(torch.tensor([[30.0, -30.0, 29.0]])).dense()
    assert law.tolist() == [[1.0, 0.0, 0.0]]


def kept_by_sorting(logits, top_p):
    """Tokens of one row that top-p keeps: the definition, with a stable sort."""
    order = np.argsort(-logits, kind="stable")
    probs = np.exp(logits - logits.max())
    upto = np.cumsum(probs[order]) / probs.sum()
    last = order[min(np.searchsorted(upto, top_p), len(order) - 1)]
    return logits >= logits[last]  # and ties with the last


@given(st.sampled_from(SIZES), st.floats(0.01, 1.0), st.floats(0.01, 30), st.integers(0, 2**31),
       st.booleans())  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_top_p_without_sorting_keeps_what_sorting_keeps(size, top_p, scale, seed, ties):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, size)) * scale
    if ties:
        logits = np.round(logits)
    else:
        logits[:, ::3] = -np.inf
        logits[:, -1] = 1.0
    law = Sampling(1.0, top_p=top_p).law(torch.tensor(logits)).dense().numpy()
    for row, found in zip(logits, law, strict=True):
        kept = kept_by_sorting(row, top_p)
        mass = np.exp(row - row.max())
        expected = np.where(kept, mass, 0.0) / mass[kept].sum()
        # the set may differ only where a cumulative mass is top_p but for rounding
        same = ((found > 0.0) == (expected > 0.0)).all()
        order = np.sort(mass)[::-1].cumsum() / mass.sum()
        assert same or np.abs(order - top_p).min() < 1e-12
        if same:
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_top_p_of_logits_that_are_not_numbers_ends():
    """A model that overflowed gives nan: no place outside the buckets is written."""
    logits = np.array([[np.nan, 1.0, -np.inf], [1.0, np.nan, 0.0], [np.inf, 0.0, -np.inf]])
    assert draws.least_kept(logits, np.full((3, 3), 1 / 3), 0.9).shape == (3,)


def test_the_likeliest_token_is_the_first_of_equals():
    logits = torch.tensor([[0.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert [law.token for law in Sampling(0.0).law(logits.to(dtype))] == [1, 0]
