"""What ends a text: the same for cascades, trees, routers, batches and sequential cascades."""

import inspect

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from cscalc.theory.deferral import Chow  # noqa: E402
from cscalc.theory.trees import Tree  # noqa: E402
from tests.decoding import table_models  # noqa: E402
from validate.batch import generate_many  # noqa: E402
from validate.completion import Completion  # noqa: E402
from validate.decode import generate, stream  # noqa: E402
from validate.dytc import DyTC, candidates_of  # noqa: E402
from validate.dytc_learning import RouterSettings  # noqa: E402
from validate.ending import Ending  # noqa: E402
from validate.models import Models, TableModel  # noqa: E402
from validate.options import CascadeOptions, TextOptions, takes  # noqa: E402
from validate.sampling import Sampling  # noqa: E402
from validate.sequential import generate_sequential  # noqa: E402
from validate.tree_decode import generate_tree, stream_tree  # noqa: E402
from validate.tree_shape import Comb, TreeShape  # noqa: E402

CHAIN = Cascade((Draft(1, 3),))
VERTICAL = Cascade((Review(1, (Draft(3, 2),), rounds=2), Draft(3, 2)))
SHAPE = TreeShape(Tree.from_paths([(1,), (2,), (1, 1), (1, 2), (1, 1, 1)]), models=1)
METHODS = {
    "plain": lambda models: Cascade(()), "chain": lambda models: CHAIN,
    "vertical": lambda models: VERTICAL, "shape": lambda models: SHAPE,
    "comb": lambda models: Comb(VERTICAL, width=2),
    "router": lambda models: DyTC(candidates_of(models, longest=3), RouterSettings(max_depth=6)),
}  # fmt: skip
every_method = pytest.mark.parametrize("method", METHODS)
trees = pytest.mark.parametrize("method", ["shape", "comb", "router"])


class Letters:
    """A tokenizer of one letter a token."""

    def decode(self, tokens):
        return "".join("abcdefgh"[t] for t in tokens)


def lettered(seed):
    """A target with a second-order memory, and drafts that are noisy copies of it."""
    models = table_models(8, seed, order=2)
    noise = torch.Generator().manual_seed(seed + 1)
    for number in (1, 2):
        logits = models.target.logits
        noisy = logits + 0.5 * torch.randn(logits.shape, generator=noise, dtype=logits.dtype)
        models.language[number] = TableModel(noisy, name=f"noisy {number}")
    return Models(models.language, models.one_shot, Letters())


def cost(model, positions):
    return (1.0, 0.3, 0.1, 0.01)[model]


def write(method, models, **options):
    """Decode the same prompt with any method, greedily unless told."""
    chosen = METHODS[method](models)
    more = {} if isinstance(chosen, Cascade) else {"costs": cost}
    settings = {"max_tokens": 40, "sampling": Sampling(0.0), **more, **options}
    decode = generate if isinstance(chosen, Cascade) else generate_tree
    return decode(chosen, models, [0], generator=torch.Generator().manual_seed(3), **settings)


@given(
    st.integers(0, 500), st.sampled_from(sorted(METHODS)), st.integers(0, 30), st.integers(1, 4)
)
@settings(max_examples=80, deadline=None)
def test_greedy_text_with_a_stop_is_plain_greedy_text_up_to_it(seed, method, at, size):
    """The stop is cut out of the plain text, so that it is reached: often in mid-emission."""
    models = lettered(seed)
    plain = Letters().decode(write("plain", models).tokens)
    stop = plain[at : at + size]
    whole = plain[: plain.find(stop) + len(stop)]
    for name in {"plain", method}:
        run = write(name, models, stop=("hahaha!", stop))
        assert Letters().decode(run.tokens) == whole
        assert (run.finish, run.stop) == ("stop", stop)


@trees
def test_a_stop_inside_an_emission_cuts_it(method):
    """The text ends in a cycle that emitted more: what is behind the stop is not handed out."""
    models, heard = lettered(2), []
    free = write(method, models)
    cycle, before = next(
        (i, sum(free.emitted[:i])) for i in range(len(free.emitted)) if free.emitted[i] >= 3
    )
    stop = Letters().decode(free.tokens[before : before + 2])
    first = Letters().decode(free.tokens).find(stop)
    run = write(method, models, stop=(stop,), on_token=heard.append)
    assert run.tokens == heard == free.tokens[: first + 2]
    assert run.stop == stop
    if first == before:
        assert run.cycles == cycle + 1
        assert run.emitted[-1] > 2  # as emitted; the end was inside


@trees
def test_a_stop_that_spans_two_cycles_is_seen(method):
    models = lettered(2)
    free = write(method, models)
    text = Letters().decode(free.tokens)
    borders = [sum(free.emitted[: i + 1]) for i in range(free.cycles - 1)]
    spans = [at for at in borders if at >= 2 and text.find(text[at - 2 : at + 2]) == at - 2]
    assert spans  # of the 40 tokens' borders some have a text of their own
    for at in spans:
        run = write(method, models, stop=(text[at - 2 : at + 2],))
        assert run.tokens == free.tokens[: at + 2]
        assert run.finish == "stop"
        assert sum(run.emitted[:-1]) == at  # it began in one cycle and ended in the next


@every_method
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(0.7)], ids=str)
def test_a_stop_that_is_never_reached_changes_nothing(method, sampling):
    models = lettered(1)
    free = write(method, models, sampling=sampling)
    held = write(method, models, sampling=sampling, stop=("never",))
    assert (held.tokens, held.emitted) == (free.tokens, free.emitted)
    assert (held.finish, held.stop) == ("length", None)


@every_method
def test_ends_are_told_apart(method):
    """End token, stop string, length; where a token is both, it is an end token."""
    models = lettered(4)
    free = write(method, models)
    end = free.tokens[6]
    at = free.tokens.index(end) + 1
    run = write(method, models, eos=(end,), stop=(Letters().decode([end]),))
    assert (run.tokens, run.finish) == (free.tokens[:at], "eos")
    run = write(method, models, stop=(Letters().decode([end]),))
    assert (run.tokens, run.finish) == (free.tokens[:at], "stop")
    run = write(method, models, max_tokens=at)
    assert (run.tokens, run.finish, run.stop) == (free.tokens[:at], "length", None)


@every_method
def test_a_callback_hears_every_token_in_order(method):
    heard = []
    run = write(method, lettered(1), sampling=Sampling(1.0), on_token=heard.append)
    assert heard == run.tokens


@every_method
@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ("ab", r"stop must be a sequence of strings, got 'ab': write \('ab',\)"),
        (("",), "a stop string must be non-empty text, got ''"),
        ((3,), "a stop string must be non-empty text, got 3"),
    ],
)
def test_a_bad_stop_is_one_sentence(method, stop, message):
    with pytest.raises((TypeError, ValueError), match=message):
        write(method, lettered(0), stop=stop)


@every_method
def test_stop_strings_need_a_tokenizer(method):
    models = lettered(0)
    with pytest.raises(ValueError, match="stop strings need a tokenizer"):
        write(method, Models(models.language, models.one_shot), stop=("a",))


def test_streams_refuse_bad_options_before_the_first_token():
    models, chance = lettered(0), torch.Generator()
    for kind, what in ((stream, CHAIN), (stream_tree, SHAPE)):
        with pytest.raises(ValueError, match="max_tokens must be >= 1, got 0"):
            kind(what, models, [0], generator=chance, max_tokens=0)
        with pytest.raises(TypeError, match="unexpected keyword argument 'max_token'"):
            kind(what, models, [0], generator=chance, max_token=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'lenience'"):
        stream_tree(SHAPE, models, [0], generator=chance, lenience=None)


def test_batches_and_sequential_cascades_end_as_all_others():
    models = lettered(2)
    text = Letters().decode(write("plain", models).tokens)
    stop = text[7:10]
    whole = text[: text.find(stop) + 3]
    options = {"max_tokens": 40, "sampling": Sampling(0.0), "stop": (stop,)}
    (run,) = generate_many(CHAIN, models, [[0]], generator=torch.Generator(), **options)
    assert (Letters().decode(run.tokens), run.finish) == (whole, "stop")
    always = generate_sequential(models, [0], Chow(-1.0), generator=torch.Generator(), **options)
    assert (Letters().decode(always.tokens), always.finish) == (whole, "stop")
    assert always.stop == stop


def test_a_character_of_several_tokens_is_seen_when_it_is_whole():
    class Bytes:
        def decode(self, tokens):
            return bytes(tokens).decode(errors="replace")

    ending = Ending(99, frozenset(), ("→.",), Bytes())
    run, tokens = Completion(), list("a → b →. c".encode())
    kept = []
    for token in tokens:
        part, ended = ending.take(run, [token], reviewed=0)
        kept += part
        if ended:
            break
    assert bytes(kept).decode() == "a → b →."
    assert run.finish == "stop"


class Pieces:
    """A tokenizer of pieces of bytes, some of them without text, some parts of a character."""

    pieces = (b"a", b"", b"b", b"ab", b"ccccccccccccb", "é".encode()[:1], "é".encode()[1:],
              *(bytes([byte]) for byte in "𝄞".encode()))  # fmt: skip

    def __init__(self):
        self.decoded = []

    def decode(self, tokens):
        self.decoded.append(len(tokens))
        return b"".join(self.pieces[t] for t in tokens).decode(errors="replace")


def first_stop(ending, tokens):
    """Tokens up to the one that completes a stop string, as `Ending` finds it."""
    run = Completion()
    for token in tokens:
        if ending.take(run, [token], reviewed=0)[1]:
            break
    return run.tokens, run.stop


@given(
    st.lists(
        st.sampled_from([[i] for i in range(7)] + [[1] * 9, [1] * 40, [7, 8, 9, 10]]), max_size=30
    ),
    st.lists(st.text("abcé𝄞", min_size=1, max_size=5), min_size=1, max_size=3),
)
@example([[0], [1] * 8, [2]], ["ab"])
@example([[0], [1] * 40, [4]], ["ac"])
@settings(max_examples=400, deadline=None)
def test_a_stop_is_found_where_the_whole_text_first_holds_it(parts, stops):
    """Whatever tokens are: without text, of many characters, or parts of one."""
    tokens, pieces = [token for part in parts for token in part], Pieces()
    found, stop = first_stop(Ending(10**6, frozenset(), tuple(stops), pieces), tokens)
    ends = (n for n in range(1, len(tokens) + 1)
            if any(each in pieces.decode(tokens[:n]) for each in stops))  # fmt: skip
    first = next(ends, None)
    assert found == tokens[:first]
    assert (stop is not None) == (first is not None)


class Runs(Pieces):
    """A tokenizer that shows neighbouring bytes all together, or, with a stray one, not at all."""

    def decode(self, tokens):
        text, run = "", b""
        for piece in [*(self.pieces[t] for t in tokens), b"."]:
            if len(piece) == 1 and piece >= b"\x80":
                run += piece
                continue
            try:
                text += run.decode()
            except UnicodeDecodeError:
                text += "\ufffd" * len(run)
            text, run = text + piece.decode(), b""
        return text[:-1]


@given(
    st.lists(st.sampled_from([[0], [2], [3], [4], [1] * 5, [5, 6], [7, 8, 9, 10]]), max_size=30),
    st.text("abcé𝄞", min_size=1, max_size=5),
)
@example([[7, 8, 9, 10]] * 6 + [[5, 6], [2]], "éb")
@settings(max_examples=300, deadline=None)
def test_a_stop_behind_many_characters_of_several_tokens_is_found(parts, stop):
    tokens, pieces = [token for part in parts for token in part], Runs()
    found, _ = first_stop(Ending(10**6, frozenset(), (stop,), pieces), tokens)
    ends = (n for n in range(1, len(tokens) + 1) if stop in pieces.decode(tokens[:n]))
    assert found == tokens[: next(ends, None)]


def test_a_stop_costs_two_short_decodes_a_token():
    pieces = Pieces()
    first_stop(Ending(10**6, frozenset(), ("never", "ba é"), pieces), [0, 2, 3, 4] * 500)
    assert max(pieces.decoded) <= 2
    assert len(pieces.decoded) <= 2 * 2000
    pieces.decoded.clear()
    first_stop(Ending(10**6, frozenset(), (), pieces), [0, 2] * 100)
    assert not pieces.decoded


def options_of(function):
    found = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in found if p.kind == p.KEYWORD_ONLY}


def test_every_decoder_shows_the_same_options_with_the_same_defaults():
    text, cascade = (options_of(kind) for kind in (TextOptions, CascadeOptions))
    for function in (generate, stream, generate_many):
        assert options_of(function).items() >= cascade.items()
    for function in (generate_tree, stream_tree, generate_sequential):
        assert options_of(function).items() >= text.items()
    with pytest.raises(ValueError, match="takes no \\*\\*options"):
        takes(TextOptions)(lambda prompt: None)
