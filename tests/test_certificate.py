"""The certificate: lossless decoders pass, every known mistake fails, and chance is as stated."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from cscalc.theory.lenience import Lenience  # noqa: E402
from tests.broken_decoders import MISTAKES, decoder  # noqa: E402
from tests.decoding import table_models  # noqa: E402
from tests.test_decode import tiny_llama  # noqa: E402
from validate.certificate import certify  # noqa: E402
from validate.certificate_counts import FirstTwo, detectable, plan  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.evidence import BONUS, CORRECTED, cycle_places, proposers, uniforms  # noqa: E402
from validate.models import Models, TableModel  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

TWO = Cascade((Draft(1, 2),))
SHARP = Sampling(0.5)
WARM = Sampling(1.5)  # laws wide enough that every mistake shows in few tokens
SIZES = {"samples": 600, "max_tokens": 8, "greedy_tokens": 16}  # 4,800 tokens
PROMPTS = [[0, 1], [3, 4]]


def noisy_tables():
    """A target, two drafts that are noisy copies of it, and a one-shot draft."""
    models = table_models(6, seed=1)
    noise = torch.Generator().manual_seed(2)
    for number in (1, 2):
        logits = models.target.logits
        noisy = logits + torch.randn(logits.shape, generator=noise, dtype=logits.dtype)
        models.language[number] = TableModel(noisy, name=f"noisy {number}")
    return models


def noisy_llamas():
    """A random Llama and a noisy copy of it."""
    target, draft = tiny_llama(0), tiny_llama(0)
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weights in draft.module.parameters():
            spread = 0.1 * weights.std() if weights.ndim > 1 else 0.0
            weights += spread * torch.randn(weights.shape, generator=noise, dtype=weights.dtype)
    return Models.of(target, draft)


@pytest.fixture(scope="module")
def tables():
    return noisy_tables()


@pytest.fixture(scope="module")
def llamas():
    return noisy_llamas()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_fails_on_tables(tables, mistake):
    """N = 4,800 tokens, 31 comparisons, false alarm 1e-3; seeds are fixed.

    Power: over 20 other seeds each mistake failed 20 times (`test_power`).
    """
    found = certify(TWO, tables, PROMPTS, sampling=WARM, decode=decoder(mistake), **SIZES)
    assert not found.passed
    assert found.failures or found.impossible
    assert found.verdict.startswith("NOT lossless")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_fails_on_tiny_llamas(llamas, mistake):
    """N = 3,000 tokens of a random Llama in float64, whose laws are narrow: temperature 2.5."""
    found = certify(
        TWO, llamas, [[1, 2]], sampling=Sampling(2.5), decode=decoder(mistake), samples=500,
        max_tokens=6, greedy_tokens=0,
    )  # fmt: skip
    assert found.failures or found.impossible, found.verdict


@pytest.mark.parametrize("sampling", [SHARP, Sampling(), Sampling(0.7, top_k=3)], ids=str)
def test_the_same_decoder_without_a_mistake_passes(tables, sampling):
    """False alarm 1e-3 each."""
    assert certify(TWO, tables, PROMPTS, sampling=sampling, decode=decoder(), **SIZES).passed


def test_a_wrong_bonus_shows_in_the_bonus_and_not_at_temperature_1(tables):
    wrong = decoder(MISTAKES[0])
    found = certify(TWO, tables, PROMPTS, sampling=SHARP, decode=wrong, **SIZES)
    assert "bonus" in {one.group for one in found.failures}
    assert "corrected" not in {one.group for one in found.failures}
    sizes = {**SIZES, "greedy_tokens": 0}  # greedy text is at temperature 0, and shows it too
    assert certify(TWO, tables, PROMPTS, sampling=Sampling(), decode=wrong, **sizes).passed


def test_a_wrong_correction_shows_in_the_corrected_tokens(tables):
    for mistake in ("correcting from p", "residual not clipped"):
        found = certify(TWO, tables, PROMPTS, sampling=SHARP, decode=decoder(mistake), **SIZES)
        assert found.impossible > 0, mistake  # tokens that (p - q)+ cannot give
        assert "cannot come from the target's law" in found.verdict


def test_tokens_that_top_k_cuts_off_are_impossible(tables):
    found = certify(
        TWO, tables, PROMPTS, sampling=Sampling(0.5, top_k=2), decode=decoder(MISTAKES[0]),
        **SIZES,
    )  # fmt: skip
    assert found.impossible > 0
    assert not found.passed


INNER = Review(1, (Draft(2, 2),), until=2)
CASES = [
    (Cascade(()), {}),
    (Cascade((Draft(1, 1), Draft(3, 2))), {}),
    (Cascade((INNER, Draft(3, 2))), {}),
    (Cascade((INNER, Draft(2, 1))), {"lenience": Lenience(2.0)}),
    (Cascade((Draft(1, 3), Draft(2, 2))), {"confidence": 0.6}),
]


@pytest.mark.parametrize(("cascade", "options"), CASES, ids=str)
def test_our_decoder_passes(tables, cascade, options):
    """False alarm 1e-3 each."""
    found = certify(cascade, tables, PROMPTS, sampling=SHARP, options=options, **SIZES)
    # the place hardly ever tells whose token a lenient review corrected
    assert found.untested == (("corrected",) if options.get("lenience") else ())
    assert not found.failed, found.verdict
    assert found.tokens == 4800


@pytest.mark.parametrize("sampling", [SHARP, Sampling(2.5, top_p=0.9)], ids=str)
def test_our_decoder_passes_on_tiny_llamas(llamas, sampling):
    """False alarm 1e-3 each."""
    found = certify(
        TWO,
        llamas,
        [[1, 2]],
        sampling=sampling,
        samples=300,
        max_tokens=6,
        greedy_tokens=40,
    )
    assert found.passed, found.verdict
    assert all(check.equal for check in found.greedy)


def test_corrected_tokens_of_the_second_segment_are_tested_where_the_place_tells():
    """A one-shot draft behind one token of another, and a draft behind rounds of any length."""
    find = proposers(Cascade((Draft(1, 1), Draft(3, 4))), {})
    assert [find(i) for i in (0, 1, 4)] == [(0, 0, 0), (1, 1, 1), (1, 1, 1)]
    find = proposers(Cascade((INNER, Draft(2, 1))), {})
    # the review holds 2 to 4 tokens: place 1 is surely its own, 3 may be either's, 4 the draft's
    assert [find(i) for i in (0, 1, 3, 4)] == [(0, 0, 0), (0, 0, 0), None, (1, 2, 4)]
    early = proposers(Cascade((Draft(1, 3), Draft(2, 2))), {"confidence": 0.5})
    assert [early(i) for i in (0, 1, 3)] == [(0, 0, 0), None, (1, 1, 3)]


def test_the_transform_of_a_known_law_is_uniform():
    """10^5 draws of a law with a tie and a zero: 5 sigma of the mean and of the variance."""
    rng = np.random.default_rng(3)
    law = np.array([0.2, 0.0, 0.5, 0.2, 0.1])
    n = 100_000
    tokens = torch.from_numpy(rng.choice(5, size=n, p=law))
    probs = torch.tensor(law).expand(n, 5)
    scores = torch.tensor([1.0, 9.0, 0.0, 1.0, 4.0], dtype=torch.float64).expand(n, 5)
    u = uniforms(probs, scores, tokens, torch.from_numpy(rng.random(n))).numpy()
    assert abs(u.mean() - 0.5) < 5 * np.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / n)


def test_the_first_two_tokens_cells_are_the_targets_joint_law(tables):
    cells = FirstTwo.of(tables.target, [0, 1], SHARP, 500)
    logits = tables.target.logits
    first = (logits[1] / 0.5).softmax(-1)
    for (a, b), chance in cells.law.items():
        if b >= 0:
            assert chance == pytest.approx(float(first[a] * (logits[a] / 0.5).softmax(-1)[b]))
    assert sum(cells.law.values()) == pytest.approx(1.0)
    assert len(cells.law) > 6


def test_places_of_a_cycle_are_told_from_the_counts(tables):
    run = generate(TWO, tables, [0], generator=torch.Generator().manual_seed(1), max_tokens=9)
    places = list(cycle_places(run))
    assert len(places) == 9
    for start, index, kind in places:
        cycle = sum(1 for total in np.cumsum(run.emitted) if total <= start)
        last = index == run.emitted[cycle] - 1
        full = run.emitted[cycle] == run.reviewed[cycle] + 1
        assert kind == ((BONUS if full else CORRECTED) if last else 0)


def test_the_comparisons_are_fixed_in_advance_and_share_the_false_alarm(tables):
    found = certify(TWO, tables, PROMPTS, sampling=SHARP, false_alarm=0.01, **SIZES)
    planned = plan(TWO, ["likeliest", "draft", "number"], 2, SIZES["max_tokens"])
    assert [(c.group, c.name, c.order) for c in found.comparisons] == planned
    assert {c.threshold for c in found.comparisons} == {0.01 / len(planned)}


@pytest.mark.slow
def test_p_values_of_a_lossless_decoder_are_uniform(tables):
    """60 certificates, about 1,900 p-values, in groups of three that may depend on each other.

    The share below .05 lies within 5 sigma (sigma .0087).
    """
    values = [
        one.p_value
        for seed in range(60)
        for one in certify(
            TWO, tables, PROMPTS, sampling=SHARP, seed=1000 + seed, samples=300, max_tokens=8,
            greedy_tokens=0,
        ).comparisons
        if one.tested
    ]  # fmt: skip
    assert abs(np.mean(np.array(values) < 0.05) - 0.05) < 5 * 0.0087


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_power(tables, mistake):
    """20 seeds, 20 failures: at 95 % confidence the power is above 0.86 (0.05 ** (1 / 20))."""
    for seed in range(20):
        found = certify(
            TWO, tables, PROMPTS, sampling=WARM, decode=decoder(mistake), seed=2000 + seed,
            samples=600, max_tokens=8, greedy_tokens=0,
        )  # fmt: skip
        assert not found.passed, seed


def test_what_could_be_seen_is_seen(tables):
    """Mixing a uniform law into the target's until 90 % power: detectable() is about right."""
    threshold, n, dof = 1e-4, 4000, 11
    off = detectable(n, dof, threshold)
    rng = np.random.default_rng(0)
    law = np.full(12, 1 / 12)
    law[:6] += off / 6
    law[6:] -= off / 6
    counts = rng.multinomial(n, law, size=2000)
    statistic = ((counts - n / 12) ** 2 / (n / 12)).sum(axis=1)
    from scipy.stats import chi2

    failed = np.mean(chi2.sf(statistic, dof) < threshold)
    assert abs(failed - 0.9) < 0.04  # 5 sigma of 2,000 tries is .034


def test_a_certificate_is_json_with_a_hash_and_its_versions(tables, tmp_path):
    found = certify(TWO, tables, PROMPTS, sampling=SHARP, **SIZES)
    found.save(tmp_path / "certificate.json")
    data = json.loads((tmp_path / "certificate.json").read_text())
    assert data["schema"] == "validate/certificate"
    assert data["passed"] is True
    assert data["experiment"]["seed"] == 0
    assert "torch" in data["provenance"]["versions"]
    again = certify(TWO, tables, PROMPTS, sampling=SHARP, **SIZES)
    assert again.to_dict() == found.to_dict()  # the same seeds, the same certificate
    other = certify(TWO, tables, PROMPTS, sampling=SHARP, seed=1, **SIZES)
    assert other.to_dict()["run_id"] != data["run_id"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": []}, "no prompts"),
        ({"samples": 1}, "samples must be >= 2"),
        ({"max_tokens": 1}, "max_tokens must be >= 2"),
        ({"false_alarm": 0.0}, "false_alarm must lie between 0 and 1"),
        ({"sampling": Sampling(0.0), "greedy_tokens": 0}, "greedy_tokens must be >= 1"),
        ({"options": {"deferral": object()}}, "nothing to certify"),
        ({"cascade": Cascade((Draft(7, 1),))}, "load one more draft"),
    ],
)
def test_bad_arguments_are_one_sentence(tables, change, message):
    good = {"cascade": TWO, "models": tables, "prompts": PROMPTS}
    with pytest.raises(ValueError, match=message):
        certify(**{**good, **change})


def test_a_prompt_that_leaves_no_room_is_said(llamas):
    with pytest.raises(ValueError, match=r"prompt 0 has 60 tokens.*shorten the prompt"):
        certify(TWO, llamas, [[0] * 60])
