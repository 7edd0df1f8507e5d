"""What a CUDA graph would hold, tried without CUDA: no read by the host, no copy from it.

Models and buffers lie on torch's meta device, which has shapes and no values: a read of a value
fails there, and whatever is made on the host shows as a second device.
"""

import gc
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import validate.recorded  # noqa: E402
from tests.test_tree_session import GROUPED, tiny  # noqa: E402
from validate.device_state import DeviceState  # noqa: E402
from validate.engine import CompiledModel, Engine, check_recordable  # noqa: E402
from validate.fused_linears import fuse_linears, use_grouped_attention  # noqa: E402
from validate.recorded import NotRecordable, Recordable, record, warm_up  # noqa: E402
from validate.sampling import Sampling  # noqa: E402
from validate.static_cache import windows_of  # noqa: E402
from validate.static_session import Lane  # noqa: E402

VOCAB = 300
LAWS = [
    Sampling(0.0),
    Sampling(1.0),
    Sampling(0.7),
    Sampling(0.7, top_k=5),
    Sampling(0.9, top_p=0.8),
    Sampling(0.9, min_p=0.1),
    Sampling(1.2, top_k=9, top_p=0.9, min_p=0.02),
]
ARCHITECTURES = ["llama", "gpt2", "gpt-neox", "qwen2-window", "mistral-window", "opt"]


def config(**options):
    return transformers.LlamaConfig(**{**GROUPED, "vocab_size": VOCAB, **options})


def on_meta(module):
    """The module with all its tensors on the meta device."""
    for part in module.modules():
        for held in (part._parameters, part._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    held[name] = torch.empty_like(tensor, device="meta")
    return module.eval()


def lane_of(module, **options):
    """A lane of a model without values; `CompiledModel` would compare its logits."""
    module.config.max_position_embeddings = 700  # more than a ring holds
    engine = Engine(**options)
    if engine.fuse:
        fuse_linears(module)
    if engine.grouped:
        use_grouped_attention(module)
    first = next(module.parameters())
    return Lane(
        SimpleNamespace(
            module=module, forward=module.forward, engine=engine, device=first.device,
            dtype=first.dtype, max_positions=700, last_place=699,
            windows=windows_of(module.config, "m"),
        )
    )  # fmt: skip


@pytest.fixture
def captured(monkeypatch):
    """`record` as it is with CUDA, but that a second run is watched instead of recorded."""
    names = []

    def watched(work, device, graphs, changed=()):
        warm_up(work, changed)

        def run():
            with Recordable() as watching:
                found = work()
            names.append(watching.launched)
            return found

        return run

    monkeypatch.setattr("validate.static_session.record", watched)
    monkeypatch.setattr("validate.device_state.record", watched)
    return names


def moves(lane, sampling, greedy=False):
    """Every kind of move and pass, widths and reaches."""
    state = DeviceState(700, VOCAB, 2, lane.device, torch.float32)
    state.begin([1, 2, 3], {0: 2, 1: 2}, {0: lane, 1: lane}, greedy)
    state.append([4, 5], 3, greedy)
    state.refill([0.5] * 20)
    state.review_from(3)
    for reach, width in ((256, 1), (256, 2), (512, 8)):
        yield state.ready(1, "step", sampling, width, reach)
        for inner in (False, True):
            yield state.ready(int(inner), "look", sampling, width, reach, inner)
    for tokens, n_last in (([1], 1), ([1, 2, 3], 3), ([1] * 40, 1)):
        yield lambda tokens=tokens, n_last=n_last: lane.read(tokens, 3, n_last)


@pytest.mark.parametrize("sampling", LAWS, ids=str)
@torch.inference_mode()
def test_no_move_waits_for_the_host_or_is_shaped_by_values(captured, sampling):
    lane = lane_of(on_meta(transformers.LlamaForCausalLM(config()).bfloat16()))
    for move in moves(lane, sampling, sampling.temperature == 0.0):
        assert move().device.type == "meta"
    assert len(captured) == 12


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in ARCHITECTURES]
    + [("llama", {"fuse": True, "grouped": True}), ("qwen2-window", {"fuse": True})],
)
@torch.inference_mode()
def test_no_pass_of_an_architecture_does(captured, name, options):
    module = tiny(name).module
    module.resize_token_embeddings(VOCAB)
    for move in moves(lane_of(on_meta(module), **options), Sampling(0.8)):
        move()
    assert len(captured) == 12


def test_what_a_move_adds_to_a_pass_is_few_kernels(captured):
    """Beside a draft's pass of 50 microseconds each costs 1.5."""
    lane = lane_of(on_meta(transformers.LlamaForCausalLM(config(num_hidden_layers=1))))
    forward, inside = lane._forward, []

    def passed(**inputs):
        with Recordable() as watching:
            found = forward(**inputs)
        inside.append(watching.launched)
        return found

    lane._forward = passed
    state = DeviceState(700, VOCAB, 2, lane.device, torch.float32)
    state.begin([1, 2, 3], {0: 2, 1: 2}, {0: lane, 1: lane}, True)
    found = {}
    for kind, width in (("step", 1), ("step", 2), ("look", 1), ("look", 4)):
        with torch.inference_mode():
            state.ready(0, kind, Sampling(0.0), width, 256)()
        found[kind, width] = len(captured.pop()) - len(inside.pop())
    assert found == {("step", 1): 8, ("step", 2): 10, ("look", 1): 14, ("look", 4): 26}


WRONG = {
    "item": lambda x: x * x.sum().item(),
    "float": lambda x: x * float(x.sum()),
    "if": lambda x: x if x.sum() > 0 else -x,
    "int": lambda x: x[: int(x.sum())],
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "put": lambda x: x.index_put((x > 0,), torch.ones(2, device=x.device)),
    "unique": lambda x: x.unique(),
    "equal": lambda x: torch.equal(x, x),
    "repeat": lambda x: x.repeat_interleave(x.long()),
    "made on the host": lambda x: torch.tensor([1.0, 2.0, 3.0], device=x.device) * x,
    "to the host": lambda x: x.cpu(),
    "from the host": lambda x: x + torch.ones(3).to(x.device),
    "a number from the host": lambda x: torch.where(x > 0, x, torch.tensor(0.0)),
}


@pytest.mark.parametrize("name", WRONG)
@torch.inference_mode()
def test_what_no_graph_can_hold_is_found(name):
    x = torch.ones(3, device="meta")
    with pytest.raises(NotRecordable), Recordable():
        WRONG[name](x)


@torch.inference_mode()
def test_arithmetic_with_numbers_and_fills_by_a_mask_are_none_of_it():
    x = torch.ones(3, device="meta")
    with Recordable() as watching:
        y = (x + 1.5) * torch.tensor(2.0) + torch.where(x > 0, x, 0.0)
        y[y > 1] = 0.0
        y.index_put_((x.long(),), x)
        y.cumsum(0).view(3, 1).topk(1, dim=0)
    assert y.device.type == "meta"
    assert "aten.view" not in watching.launched
    assert "aten.topk" in watching.launched


def test_a_planted_read_in_a_pass_is_found(monkeypatch):
    module = transformers.LlamaForCausalLM(config())
    lane = lane_of(module)
    check_recordable("m", lane)
    layer = module.model.layers[2].mlp
    forward = layer.forward
    monkeypatch.setattr(layer, "forward", lambda x: forward(x) * (1.0 if x.max() > 0 else 2.0))
    with pytest.raises(NotRecordable, match=r"_local_scalar_dense.* reads a value on the host"):
        check_recordable("m", lane)


def test_a_model_that_reads_values_in_a_pass_is_refused_before_it_is_recorded():
    """Rotations that depend on the length of the text: the host asks for it in every pass."""
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    module = transformers.LlamaForCausalLM(config(rope_scaling=rope)).double()
    lane = CompiledModel(module, name="m").start().lane  # without graphs it runs
    with pytest.raises(
        ValueError, match=r"m cannot be recorded as a CUDA graph.*_local_scal.*static"
    ):
        check_recordable("m", lane)
    check_recordable("m", CompiledModel(tiny("llama").module, name="m").start().lane)


class FakeStream:
    def __init__(self, device=None):
        self.waited = []

    def wait_stream(self, other):
        self.waited.append(other)


class FakeGraph:
    """Counts replays; records nothing."""

    replays = 0

    def replay(self):
        self.replays += 1


@pytest.fixture
def cuda(monkeypatch):
    """The part of torch.cuda that recording uses, which says what it was asked for."""
    asked, main = [], FakeStream()

    @contextmanager
    def graph(made, *, pool, stream):
        asked.append((pool, stream, gc.isenabled()))
        yield

    for name, value in {
        "graph": graph, "CUDAGraph": FakeGraph, "Stream": FakeStream,
        "graph_pool_handle": object, "current_stream": lambda device: main,
        "stream": lambda stream: nullcontext(), "device": lambda device: nullcontext(),
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(validate.recorded, "_POOLS", {})
    return asked


def test_all_graphs_are_made_on_one_stream_in_one_pool_that_a_graph_holds(cuda):
    """A stream more would be a workspace more; a pool without a graph would be refused."""
    device, state, runs = torch.device("cpu"), torch.zeros(1), []

    def work():
        runs.append(float(state))
        state.add_(1.0)
        return state

    moves = [record(work, device, True, [state]) for _ in range(3)]
    assert len(cuda) == 4  # the first is of the pool itself
    assert (
        len({id(pool) for pool, _, _ in cuda}) == len({id(stream) for _, stream, _ in cuda}) == 1
    )
    assert [collecting for _, _, collecting in cuda[1:]] == [False] * 3
    assert gc.isenabled()
    assert runs == [0.0] * 4 + [1.0] * 4 + [2.0] * 4  # this graph runs as it is recorded
    assert moves[0]() is state
    assert len(runs) == 12
    assert record(work, device, False) is work
