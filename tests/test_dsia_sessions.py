"""Early exits live in the target's cache: same keys bit by bit, nothing read twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from tests.dsia_targets import VOCAB, logits, tiny_target  # noqa: E402
from validate.cache import STEP  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.dsia_models import self_draft  # noqa: E402
from validate.dsia_sessions import (  # noqa: E402
    RememberingSession,
    SharedSession,
    common,
    start_sessions,
)
from validate.models import Models  # noqa: E402

TEXT = [1, 5, 3, 7, 2, 9, 4, 4, 6, 1, 0, 3]


def keys_of(session, layer, length):
    return session._cache.layers[layer]._buffers[0][:, :, :length]


@pytest.fixture(scope="module")
def target():
    return tiny_target()


def test_the_first_layers_of_an_exit_hold_the_targets_keys_bit_by_bit(target):
    draft = self_draft(target, "exit:3")
    one, other = target.start(), draft.start()
    one.extend(TEXT, 1)
    other.extend(TEXT, 1)
    for layer in range(3):
        assert torch.equal(keys_of(one, layer, 12), keys_of(other, layer, 12))


@pytest.mark.parametrize(("text", "same"), [("skip:2,4", 2), ("skip:0", 0), ("int8", 0)])
def test_other_settings_hold_other_keys_from_their_first_difference_on(target, text, same):
    draft = self_draft(target, text)
    assert draft.shared_layers == same
    one, other = target.start(), draft.start()
    one.extend(TEXT, 1)
    other.extend(TEXT, 1)
    for layer in range(len(draft.module.model.layers)):
        equal = torch.equal(keys_of(one, layer, 12), keys_of(other, layer, 12))
        assert equal == (layer < same)


def test_a_shared_cache_is_one_memory_and_reads_only_what_is_new(target):
    draft = self_draft(target, "exit:3")
    sessions = start_sessions({0: target, 1: draft, 2: self_draft(target, "skip:2")})
    assert isinstance(sessions[0], RememberingSession)
    assert isinstance(sessions[1], SharedSession)
    assert not isinstance(sessions[2], SharedSession)
    sessions[0].extend(TEXT[:8], 1)
    found = sessions[1].extend(TEXT[:10], 3)
    assert (sessions[1].length, sessions[1].positions) == (10, 3)  # logits of three are asked for
    torch.testing.assert_close(found, logits(draft, TEXT)[7:10], rtol=0.0, atol=1e-11)
    whole = target.start()
    whole.extend(TEXT[:8], 1)
    for layer in range(6):
        held = keys_of(sessions[0], layer, 8)
        torch.testing.assert_close(held, keys_of(whole, layer, 8), rtol=0.0, atol=1e-13)
    assert sessions[0].length == 8


def test_keys_that_a_shared_session_did_not_read_itself_are_the_targets_bit_by_bit(target):
    sessions = start_sessions({0: target, 1: self_draft(target, "exit:3")})
    sessions[0].extend(TEXT[:8], 1)
    before = [keys_of(sessions[0], layer, 8).clone() for layer in range(6)]
    sessions[1].extend(TEXT, 4)
    for layer in range(6):
        assert torch.equal(keys_of(sessions[0], layer, 8), before[layer])


def test_without_an_exit_of_this_target_every_cache_is_separate(target):
    other = tiny_target(seed=1)
    sessions = start_sessions({0: target, 1: self_draft(other, "exit:3")})
    assert type(sessions[0]) is type(target.start())
    assert type(sessions[1]) is type(target.start())


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_sequences_in_one_cache_give_the_logits_of_separate_ones(target, data):
    """Any order of reading and going back, texts that part, two guests; each row as if alone."""
    models = {0: target, 1: self_draft(target, "exit:3"), 2: self_draft(target, "exit:4")}
    sessions = start_sessions(models)
    texts = {n: [] for n in models}
    for _ in range(data.draw(st.integers(2, 10))):
        n = data.draw(st.integers(0, 2))
        base = texts[data.draw(st.integers(0, 2))]  # mostly one text that all follow
        keep = common(base, texts[n])
        keep = data.draw(st.integers(0, keep))
        new = base[keep:] + data.draw(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=3))
        if n == 0:  # back to what no guest wrote over
            keep_most = min(sessions[0].holds(texts[0], 6), keep)
            new, keep = texts[0][keep_most:keep] + new, keep_most
        sessions[n].rewind(keep)
        n_last = data.draw(st.integers(1, len(new)))
        rows = sessions[n].extend(new, n_last)
        texts[n] = texts[n][:keep] + new
        assert sessions[n].length == len(texts[n])
        expected = logits(models[n], texts[n])[-n_last:]
        torch.testing.assert_close(rows, expected, rtol=0.0, atol=1e-10)


def test_a_target_that_reads_on_behind_another_text_is_told(target):
    sessions = start_sessions({0: target, 1: self_draft(target, "exit:3")})
    sessions[0].extend([1, 2, 3, 4], 1)
    sessions[1].extend([1, 2, 5], 1)
    with pytest.raises(RuntimeError, match=r"stands at 4, but a draft .* another text from 2 on"):
        sessions[0].extend([6], 1)
    sessions[0].rewind(2)
    row = sessions[0].extend([5, 6], 1)
    torch.testing.assert_close(row, logits(target, [1, 2, 5, 6])[-1:], rtol=0.0, atol=1e-11)


def test_a_cache_that_grows_under_a_guest_is_read_again():
    config_room = STEP + 40
    target = tiny_target()
    target.module.config.max_position_embeddings = config_room
    draft = self_draft(target, "exit:3")
    sessions = start_sessions({0: target, 1: draft})
    text = [i % VOCAB for i in range(config_room)]
    sessions[1].extend(text[: STEP - 2], 1)  # the guest is ahead of its host
    sessions[0].extend(text[: STEP + 10], 1)
    row = sessions[1].extend(text[STEP - 2 : STEP + 20], 1)
    torch.testing.assert_close(row, logits(draft, text[: STEP + 20])[-1:], rtol=0.0, atol=1e-10)
    assert sessions[1].positions == STEP - 2 + 10


class Held:
    """A model whose one sequence was started with others."""

    def __init__(self, model, session):
        self.name, self.vocab_size = model.name, model.vocab_size
        self.max_positions, self._session = model.max_positions, session

    def start(self):
        return self._session


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "cascade",
    [Cascade((Draft(1, 3),)), Cascade((Review(1, (Draft(2, 2),), rounds=2), Draft(2, 1)))],
    ids=str,
)
def test_decoding_in_one_cache_writes_the_same_tokens_and_reads_fewer(target, cascade, seed):
    models = {0: target, 1: self_draft(target, "exit:4"), 2: self_draft(target, "exit:2")}
    sessions = start_sessions(models)
    runs = [
        generate(
            cascade, Models.of(*chosen), TEXT[:6], max_tokens=20,
            generator=torch.Generator().manual_seed(seed),
        )
        for chosen in (models.values(), [Held(m, sessions[n]) for n, m in models.items()])
    ]  # fmt: skip
    assert runs[0].tokens == runs[1].tokens
    assert runs[0].emitted == runs[1].emitted
    told = sum(runs[0].positions[n] + 5 for n in (1, 2) if n in runs[0].positions)
    read = sum(sessions[n].positions for n in (1, 2) if n in runs[0].positions)
    assert read < told - 4  # neither the prompt, but for its last token, nor what was accepted
