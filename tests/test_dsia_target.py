"""The bundled target "layer-drop": parts of it are good drafts of it."""

import hashlib
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.load import DATA, load_models, prompts_of  # noqa: E402
from validate.measure import encode, end_tokens, seeded  # noqa: E402
from validate.overlaps import measure_overlaps  # noqa: E402
from validate.prompts import load_prompts  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

DRAFTS = ("skip:0.4", "skip:0.6", "exit:5", "prompt-lookup")
FOLDER = DATA / "layer-drop"
TASKS = ("story", "translation", "summary", "question", "maths", "retrieval")


@pytest.fixture(scope="module")
def models():
    return load_models("layer-drop", DRAFTS, device="cpu")


@pytest.fixture(scope="module")
def prompts():
    return load_prompts(prompts_of("layer-drop"), limit=12)


def reply(models, cascade, prompt, temperature=0.0):
    return generate(
        cascade, models, encode(models, prompt), generator=seeded(0, prompt.question_id),
        max_tokens=32, sampling=Sampling(temperature), eos=end_tokens(models),
    ).tokens  # fmt: skip


def test_the_checkpoint_is_small_and_its_card_names_the_script():
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    assert size < 8_000_000
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    assert "benchmarks/train_dsia.py" in card
    digest = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert digest[:16] in card


def test_prompts_cover_all_tasks_in_both_splits():
    path = prompts_of("layer-drop")
    for split in ("measure", "held-out"):
        assert {p.category for p in load_prompts(path, split=split)} == set(TASKS)


def test_every_word_of_a_prompt_is_in_the_vocabulary(models, prompts):
    unknown = models.tokenizer.unk_token_id
    for prompt in prompts:
        ids = encode(models, prompt)
        assert unknown not in ids
        assert models.tokenizer.decode(ids[-1:]) == "<answer>"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_parts_of_the_target_are_good_drafts(models, prompts, temperature):
    """The card: means over prompts; 12 prompts of about 30 contexts leave sigma near 0.02."""
    sums, contexts = {1: 0.0, 2: 0.0, 3: 0.0}, 0
    for prompt in prompts:
        ids = encode(models, prompt)
        text = reply(models, Cascade(()), prompt, temperature)
        found = measure_overlaps(models, ids, text, Sampling(temperature))
        contexts += len(text)
        for draft in sums:
            sums[draft] += sum(found.overlap[f"0,{draft}"])
    for draft, least in zip(sums, (0.8, 0.75, 0.7), strict=True):
        assert sums[draft] / contexts > least, DRAFTS[draft - 1]


@pytest.mark.parametrize(
    "cascade",
    [
        Cascade((Draft(1, 3),)),
        Cascade((Review(1, (Draft(4, 4),), rounds=2), Draft(4, 4))),
        Cascade((Review(1, (Review(2, (Draft(4, 4),), rounds=1),), rounds=2), Draft(3, 2))),
    ],
    ids=str,
)
def test_greedy_text_is_plain_greedy_text(models, prompts, cascade):
    for prompt in prompts[:6]:
        assert reply(models, cascade, prompt) == reply(models, Cascade(()), prompt)


def test_the_corpus_is_the_one_the_checkpoint_was_trained_on(models):
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    try:
        import _dsia_corpus as corpus
    finally:
        sys.path.pop(0)
    vocabulary = models.tokenizer.get_vocab()
    assert {word: i for i, word in enumerate(corpus.words())} == vocabulary
    assert corpus.TASKS == TASKS
