"""Loading: what is done to the layers of a model for the engine that will run them."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from cscalc.cascade import Cascade  # noqa: E402
from tests.checkpoints import save_checkpoint  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.load import load_models  # noqa: E402
from validate.packing import PackedLinear, can_pack  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

# torch's own, while it compiles
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def load(folder, engine):
    return load_models(folder, [], device="cpu", dtype="float32", engine=engine)


def n_packed(models):
    return sum(isinstance(layer, PackedLinear) for layer in models.target.module.modules())


@pytest.mark.parametrize(("engine", "packs"), [("eager", True), ("static", True),
                                               ("compiled", False)])  # fmt: skip
def test_layers_are_packed_for_engines_that_can_run_them(tmp_path, engine, packs):
    models = load(save_checkpoint(tmp_path, seed=0), engine)
    assert (n_packed(models) > 0) == (packs and can_pack(models.target.module))


@pytest.mark.slow
def test_a_loaded_model_is_compiled_and_writes_the_same_text(tmp_path):
    folder = save_checkpoint(tmp_path, seed=0)
    texts = [
        generate(
            Cascade(()), load(folder, engine), [0, 3], generator=torch.Generator(), max_tokens=6,
            sampling=Sampling(0.0),
        ).tokens
        for engine in ("eager", "compiled")
    ]  # fmt: skip
    assert texts[0] == texts[1]
