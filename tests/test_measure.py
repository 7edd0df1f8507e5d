"""Measurement, run and report on tiny models; the numbers against slow recomputation."""

import json
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from cscalc.own_rates import pooled_rates  # noqa: E402
from cscalc.profile import Profile  # noqa: E402
from tests.checkpoints import WORDS, save_checkpoint  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.load import load_models  # noqa: E402
from validate.measure import encode, measure, seeded  # noqa: E402
from validate.overlaps import CALL, measure_overlaps  # noqa: E402
from validate.prompts import Prompt  # noqa: E402
from validate.report import Report, report  # noqa: E402
from validate.run import run  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

TEXTS = ["tell about the sea", "why is the sun ?", "write of land and moon", "the sea is the sea"]
PROMPTS = [
    Prompt(question_id=i, category="ab"[i % 2], turns=(text,), split="measure")
    for i, text in enumerate(TEXTS)
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    target = save_checkpoint(folder / "target", seed=0)
    draft = save_checkpoint(folder / "draft", seed=1, layers=1)
    return load_models(target, [draft, "max-gram"], device="cpu", dtype="float64")


@pytest.fixture(scope="module")
def profile(models):
    return measure(models, PROMPTS, max_tokens=12, positions=10, repeats=2)


def test_overlap_is_the_sum_of_minima_of_fresh_laws(models):
    prompt, sampling = [0, 2, 5], Sampling(0.8, top_k=6)
    generator = torch.Generator().manual_seed(0)
    reply = generate(
        Cascade(()), models, prompt, generator=generator, max_tokens=9, sampling=sampling
    ).tokens
    found = measure_overlaps(models, prompt, reply, sampling)
    for t in range(len(reply)):
        ids = torch.tensor([[*prompt, *reply[:t]]])
        with torch.inference_mode():
            p, q = (
                sampling.law(models.language[m].module(input_ids=ids).logits[0, -1:]).dense()[0]
                for m in (0, 1)
            )
        assert found.overlap["0,1"][t] == pytest.approx(float(torch.minimum(p, q).sum()), abs=1e-9)


def test_greedy_overlap_is_agreement_of_argmaxes(models):
    reply = [2, 3, 4, 5]
    found = measure_overlaps(models, [0], reply, Sampling(0.0))
    assert set(found.overlap["0,1"]) <= {0.0, 1.0}


def test_one_shot_overlap_counts_long_copies_once(models):
    """A text that repeats itself: calls start where the last one ended."""
    loop = [2, 3, 4] * 12
    found = measure_overlaps(models, [0, *loop], loop, Sampling(1.0))
    assert len(found.overlap["0,2"]) <= len(loop) - len(loop) // (CALL + 1) + 1


def test_survival_at_one_is_the_sum_of_overlaps(models):
    reply = [2, 3, 4, 5, 6, 7, 8, 9] * 3
    found = measure_overlaps(models, [0], reply, Sampling(1.0))
    horizon = int(found.survival["0,1"][0])
    first = sum(found.overlap["0,1"][:horizon])
    assert found.survival["0,1"][1] == pytest.approx(first)
    survival = found.survival["0,1"]
    assert all(a >= b for a, b in pairwise(survival))


def test_the_profile_pools_contexts_not_prompts(profile):
    records = profile.measurement["prompts"]
    values = [x for r in records for x in r["overlap"]["0,1"]]
    assert profile.alphas[0, 1] == pytest.approx(np.mean(values))
    assert profile.one_shot == (2,)
    assert profile.verify_costs(0, 4)[1] == 1.0
    assert profile.names == ("target", "draft", "max-gram")


def test_a_profile_with_its_measurement_survives_a_round_trip(profile, tmp_path):
    profile.save(tmp_path / "profile.json")
    assert Profile.load(tmp_path / "profile.json") == profile


def test_an_interrupted_measurement_goes_on_where_it_stopped(models, profile, tmp_path):
    log = tmp_path / "records.jsonl"

    def stop(stage, done, of):
        if stage == "measure" and done == 2:
            raise KeyboardInterrupt

    settings = {"max_tokens": 12, "positions": 4, "repeats": 2, "log": log}
    with pytest.raises(KeyboardInterrupt):
        measure(models, PROMPTS, progress=stop, **settings)
    assert len(log.read_text().splitlines()) == 3  # header and two prompts
    whole = measure(models, PROMPTS, **settings)
    assert whole.alphas.tolist() == profile.alphas.tolist()
    keys = [json.loads(line).get("key") for line in log.read_text().splitlines()[1:]]
    assert keys == ["0", "1", "2", "3"]
    with pytest.raises(ValueError, match="belongs to another run"):
        measure(models, PROMPTS[:2], **settings)


CASCADES = [Cascade((Draft(1, 2),)), Cascade((Review(1, (Draft(2, 3),), until=2), Draft(2, 2)))]


@pytest.mark.parametrize("cascade", CASCADES, ids=str)
def test_a_greedy_run_writes_what_plain_decoding_writes(models, cascade, tmp_path):
    records = run(
        cascade, models, PROMPTS, sampling=Sampling(0.0), max_tokens=10, log=tmp_path / "run.jsonl"
    )
    assert all(record["same_tokens"] for record in records)
    again = run(
        cascade, models, PROMPTS, sampling=Sampling(0.0), max_tokens=10, log=tmp_path / "run.jsonl"
    )
    assert again == records  # nothing is run twice


def test_the_report_sets_all_columns_side_by_side(models, profile, tmp_path):
    held_out = [Prompt(question_id=10 + p.question_id, category=p.category, turns=p.turns,
                       split="held-out") for p in PROMPTS]  # fmt: skip
    records = run(CASCADES[1], models, [*PROMPTS, *held_out], max_tokens=10)
    made = report(CASCADES[1], profile, records)
    made.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == made
    same, other = made.group("same"), made.group("held-out")
    assert same.n_prompts == other.n_prompts == 4
    tokens = sum(sum(r["cascade"]["emitted"]) for r in records[:4])
    cycles = sum(len(r["cascade"]["emitted"]) for r in records[:4])
    assert same.measured["tokens_per_cycle"].value == pytest.approx(tokens / cycles)
    measured = same.measured
    product = measured["tokens_per_cycle"].value / measured["cycle_cost"].value
    assert measured["speedup"].value == pytest.approx(product)
    for group in made.groups:
        for part in (group.own, group.simulated, group.measured):
            assert all(e.low <= e.value <= e.high for e in part.values())
    factor = np.prod([term["factor"] for term in made.residuals])
    predicted = same.pooled["speedup"].value
    assert predicted * factor == pytest.approx(measured["speedup"].value)


def test_each_prompts_own_rates_predict_its_own_cycles_exactly_when_rates_do_not_vary(models):
    """One draft that is the target itself: overlap 1, every cycle full."""
    from validate.models import Models

    twins = Models.of(models.target, models.target, tokenizer=models.tokenizer)
    own = measure(twins, PROMPTS, max_tokens=12, positions=4, repeats=1)
    assert own.alphas[0, 1] == pytest.approx(1.0)
    records = run(Cascade((Draft(1, 2),)), twins, PROMPTS, max_tokens=12)
    made = report(Cascade((Draft(1, 2),)), own, records)
    same = made.group("same")
    # only an end of text, or the length asked for, cuts a cycle short
    assert same.measured["tokens_per_cycle"].value == pytest.approx(3.0, abs=0.5)
    assert same.own["tokens_per_cycle"].value == pytest.approx(3.0)


def test_rates_of_no_contexts_are_not_invented():
    with pytest.raises(ValueError, match="no context was measured for the pair 0,1"):
        pooled_rates([{"overlap": {"0,1": []}}], 2, ())


def test_encoding_uses_the_tokenizer(models):
    assert encode(models, PROMPTS[0]) == [WORDS.index(w) for w in TEXTS[0].split()]
    seeds = [seeded(*pair).initial_seed() for pair in ((0, 1), (0, 2), (1, 1))]
    assert len(set(seeds)) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: measure(m, []), "no prompts"),
        (lambda m: report(CASCADES[0], Profile([0.5], [0.1]), [{}]), "holds no measurement"),
    ],
)
def test_what_is_missing_is_said(models, call, message):
    with pytest.raises(ValueError, match=message):
        call(models)


def test_drafts_of_another_tokenizer_are_refused(tmp_path):
    target = save_checkpoint(tmp_path / "target", seed=0)
    other = save_checkpoint(tmp_path / "other", seed=1, words=[*WORDS[:-1], "elephant"])
    with pytest.raises(ValueError, match="different tokenizers"):
        load_models(target, [other], device="cpu")


def test_models_that_are_not_there_are_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model at"):
        load_models(str(tmp_path / "nothing"), [])
    with pytest.raises(FileNotFoundError, match="no GGUF file"):
        load_models("nothing.gguf", [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        load_models(str(tmp_path / "empty"), [])
    with pytest.raises(ValueError, match="device"):
        load_models(device="abacus")
    target = save_checkpoint(tmp_path / "target", seed=0)
    with pytest.raises(ValueError, match="belongs to smollm2-135m"):
        load_models(target, ["mid"], device="cpu")
    with pytest.raises(ValueError, match="dtype"):
        load_models(target, [], dtype="int3")
