"""CUDA graphs and compiled passes; most of it needs a GPU."""

import gc

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch._dynamo.utils import counters  # noqa: E402

from tests.engines import CASCADES, EXACT, WIDTHS  # noqa: E402
from tests.test_decode import VOCAB, LastSeen, tiny_llama  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.device_state import DeviceState  # noqa: E402
from validate.engine import CompiledModel, Engine, with_engine  # noqa: E402
from validate.models import Models, TransformersModel  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
@pytest.mark.parametrize("options", [{}, {"fuse": True}, {"fuse": True, "grouped": True}], ids=str)
def test_compiled_passes_give_the_same_logits(options):
    torch._dynamo.reset()
    counters.clear()
    model = tiny_llama(0)
    pieces = [1, 2, 3], [4], [5, 6]
    growing = model.start()
    expected = [growing.extend(tokens, 1) for tokens in pieces]
    engine = Engine(compile="default", widths=(1, 4), **options)
    compiled = CompiledModel(model.module, name="m", engine=engine)
    for _ in range(2):  # in two lanes
        static = compiled.start()
        for tokens, logits in zip(pieces, expected, strict=True):
            found = static.extend(tokens, 1)
            torch.testing.assert_close(found, logits, rtol=1e-5, atol=1e-5)
            # norms and rotations are in float32, and fused ones round otherwise
    assert counters["stats"]["unique_graphs"] == 2  # one a width


@needs_cuda
@pytest.mark.parametrize(
    "sampling",
    [Sampling(0.0), Sampling(0.8), Sampling(0.8, top_k=4), Sampling(0.9, top_p=0.7, min_p=0.1)],
    ids=str,
)
@pytest.mark.parametrize("cascade", CASCADES, ids=str)
def test_graphs_change_no_token(cascade, sampling):
    models = Models.of(
        *(TransformersModel(tiny_llama(i).module.cuda(), name=str(i)) for i in range(3)),
        LastSeen(VOCAB),
    )
    graphs = with_engine(models, Engine(graphs=True, widths=WIDTHS))
    for seed in range(3):
        runs = [
            generate(
                cascade, each, [1, 2, 3], generator=torch.Generator().manual_seed(seed),
                max_tokens=25, sampling=sampling,
            )
            for each in (models, graphs)
        ]  # fmt: skip
        assert runs[0].tokens == runs[1].tokens
        assert runs[0].positions == runs[1].positions
        assert all(value > 0.0 for value in runs[1].seconds.values())


@needs_cuda
def test_a_graph_of_a_pass_gives_the_logits_of_the_eager_pass():
    model = TransformersModel(tiny_llama(0).module.cuda(), name="m")
    graphs = CompiledModel(model.module, name="m", engine=Engine(graphs=True)).start()
    growing = model.start()
    for back, tokens in ((0, [1, 2, 3, 4, 5]), (2, [1]), (0, [2, 3]), (3, [4, 5, 6])):
        for session in (growing, graphs):
            session.rewind(session.length - back)
        torch.testing.assert_close(
            graphs.extend(tokens, len(tokens)), growing.extend(tokens, len(tokens)),
            rtol=EXACT, atol=EXACT,
        )  # fmt: skip


@needs_cuda
@pytest.mark.parametrize("options", [{"fuse": True}, {"grouped": True}], ids=str)
def test_graphs_of_shared_kernels_give_the_same_logits(options):
    model = TransformersModel(tiny_llama(0).module.cuda(), name="m")
    expected = model.start().extend([1, 2, 3, 4, 5], 5)
    graphs = CompiledModel(model.module, name="m", engine=Engine(graphs=True, **options)).start()
    for _ in range(2):
        graphs.rewind(0)
        torch.testing.assert_close(
            graphs.extend([1, 2, 3, 4, 5], 5), expected, rtol=1e-9, atol=1e-9
        )


@needs_cuda
def test_no_wait_for_the_device_inside_a_chain_of_drafts():
    """Torch itself raises at any wait between the moves; the look at the end is the one read."""
    models = Models.of(
        *(TransformersModel(tiny_llama(i).module.cuda(), name=str(i)) for i in range(2))
    )
    graphs = with_engine(models, Engine(graphs=True))
    for temperature in (0.0, 0.8):
        arguments = (CASCADES[1], graphs, [1, 2, 3])
        options = {"max_tokens": 30, "sampling": Sampling(temperature)}
        first = generate(*arguments, generator=torch.Generator().manual_seed(1), **options)
        step = DeviceState.step

        def watched(*args, step=step):
            torch.cuda.set_sync_debug_mode("error")
            try:
                step(*args)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DeviceState, "step", watched)
            again = generate(*arguments, generator=torch.Generator().manual_seed(1), **options)
        assert first.tokens == again.tokens


@needs_cuda
def test_graphs_can_be_recorded_after_all_earlier_ones_are_gone():
    """As when one engine is tried after another; and a pool outlives its graphs."""
    for i in range(3):
        model = TransformersModel(tiny_llama(i).module.cuda(), name="m")
        graphs = CompiledModel(model.module, name="m", engine=Engine(graphs=True))
        found = graphs.start().extend([1, 2, 3], 3)
        torch.testing.assert_close(found, model.start().extend([1, 2, 3], 3), rtol=1e-9, atol=1e-9)
        del graphs, model
        gc.collect()
        torch.cuda.empty_cache()
