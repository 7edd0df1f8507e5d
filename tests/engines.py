"""What tests of engines share: small models, cascades, and graphs as they behave, on a CPU."""

import weakref

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from tests.test_decode import NESTED, VOCAB, LastSeen, tiny_llama  # noqa: E402
from tests.test_tree_session import GROUPED  # noqa: E402
from validate.engine import Engine, with_engine  # noqa: E402
from validate.models import Models, TransformersModel  # noqa: E402
from validate.recorded import warm_up  # noqa: E402

EXACT = 1e-10
WIDTHS = (1, 2, 4, 8, 16)
LONG = 600  # positions, beyond the 256 that a ring of a small window holds


everyone = weakref.WeakSet()  # what is replayed: graphs share the memory in which they work


class Replayed:
    """What a CUDA graph does to results, on a CPU: a replay overwrites its own and all others."""

    def __init__(self, work):
        self.work, self.found = work, None
        everyone.add(self)

    def __call__(self):
        found = self.work()
        for other in everyone:
            if other.found is not None:
                other.found.fill_(-1)
        if self.found is None:
            self.found = found.clone()
        self.found.copy_(found)
        return self.found


def replayed(work, device, graphs, changed=()):
    """`record`, with the runs that warm up and the buffer that every replay overwrites."""
    warm_up(work, changed)
    return Replayed(work)


@pytest.fixture(params=[False, True], ids=["run", "replayed"])
def recorded(request, monkeypatch):
    """Passes that run, and passes that behave as replayed graphs do."""
    if request.param:
        monkeypatch.setattr("validate.static_session.record", replayed)
        monkeypatch.setattr("validate.device_state.record", replayed)


def long_window(kind, window):
    """A random model with sliding windows, in float64, that holds `LONG` positions."""
    torch.manual_seed(3)
    options = {**GROUPED, "max_position_embeddings": LONG, "sliding_window": window}
    if kind == "Qwen2":
        options |= {"use_sliding_window": True, "max_window_layers": 1}
    config = getattr(transformers, f"{kind}Config")(**options, attn_implementation="sdpa")
    return TransformersModel(
        getattr(transformers, f"{kind}ForCausalLM")(config).double(), name=kind
    )


def static_models(models, **options):
    return with_engine(models, Engine(**options))


LLAMAS = Models.of(tiny_llama(0), tiny_llama(1), tiny_llama(2, layers=1), LastSeen(VOCAB))
STATIC = static_models(LLAMAS)
CASCADES = [
    Cascade(()),
    Cascade((Draft(1, 4),)),
    Cascade((Draft(3, 3), Draft(1, 2), Draft(2, 2))),
    Cascade((Draft(1, 1), Draft(3, 4))),
    NESTED,
    Cascade((Review(1, (Draft(2, 2),), rounds=2),)),
]
