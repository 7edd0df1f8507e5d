"""What static caches and laws on the device cannot do is said, and in the host's words."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft  # noqa: E402
from tests.decoding import LastSeen  # noqa: E402
from tests.engines import CASCADES, LLAMAS, WIDTHS, long_window, static_models  # noqa: E402
from tests.test_decode import VOCAB  # noqa: E402
from validate.batch import generate_many  # noqa: E402
from validate.decode import generate, stream  # noqa: E402
from validate.device_state import DeviceState  # noqa: E402
from validate.models import Models  # noqa: E402
from validate.sampling import DenseLaw, Sampling  # noqa: E402
from validate.verify import accept_probability, correction  # noqa: E402


def test_a_cascade_longer_than_the_slack_is_refused_before_anything_is_decoded():
    """It failed in mid-run, once the text had outgrown the ring of a window."""
    models = Models.of(long_window("Mistral", 8), LastSeen(11))
    static = static_models(models, widths=WIDTHS, slack=24)
    long, prompt = Cascade((Draft(1, 40),)), [1] * 300
    options = {"generator": torch.Generator(), "max_tokens": 30, "sampling": Sampling(0.0)}
    words = (
        "^the cascade proposes up to 40 tokens, but the sliding windows of Mistral go back at "
        "most 24: use an engine of slack=40, or a shorter cascade$"
    )
    with pytest.raises(ValueError, match=words):
        stream(long, static, prompt, **options)  # nothing is taken from it
    with pytest.raises(ValueError, match=words):
        generate_many(long, static, [prompt], **options)
    expected = generate(long, models, prompt, **options).tokens
    roomy = static_models(models, widths=WIDTHS, slack=40)
    assert generate(long, roomy, prompt, **options).tokens == expected
    assert generate_many(long, roomy, [prompt], **options)[0].tokens == expected
    many = generate_many(long, static, [prompt, [2]], batch=2, **options)  # other caches
    assert many[0].tokens == expected
    short = generate(long, static, [1] * 30, **options)  # the ring holds all of it
    assert short.tokens == generate(long, models, [1] * 30, **options).tokens
    full = static_models(Models.of(LLAMAS.target, LastSeen(VOCAB)), slack=1)
    assert generate(Cascade((Draft(1, 8),)), full, [1] * 40, **options).tokens


class Given:
    """A sampling that takes laws as they are, to the last bit."""

    temperature = 1.0

    def law(self, laws, text=()):
        return DenseLaw(laws)


@torch.inference_mode()
def accepted(own, laws, proposed, uniforms):
    """What a look on the device makes of these laws: kept, token, nan."""
    vocab_size, n = len(own[0]), len(proposed)
    state = DeviceState(64, vocab_size, 1, torch.device("cpu"), torch.float32)
    state.begin([0], {}, {}, greedy=False)
    state.refill(uniforms)
    state._laws[1 : n + 1] = torch.tensor(laws)
    ones = torch.ones(1, dtype=torch.int64)
    found = state._accept(
        Given(), torch.tensor(own), torch.tensor([*proposed, 0]), ones, n * ones, False
    )
    return tuple(int(x) for x in found)


@pytest.mark.parametrize(
    ("p", "q", "token"),
    [
        ([0.30294069647789, 0.6970592737197876], [0.30294069647789, 0.6970593333244324], 1),
        ([1.0, 2.345639636436867e-15], [1.0, 3.746540855331659e-08], 1),
    ],
)
@pytest.mark.parametrize("uniform", [0.1, 0.5, 0.9])
def test_what_rounding_rejects_follows_the_target_on_the_device_too(p, q, token, uniform):
    target, draft = DenseLaw(torch.tensor(p)), DenseLaw(torch.tensor(q))
    coin = 0.99999999
    assert accept_probability(target, draft, token) < coin
    host = correction(target, draft).draw(uniform)
    assert accepted([p, p], [q], [token], [coin, uniform]) == (0, host, 0)
    coin = 0.9999999 * accept_probability(target, draft, token)
    assert accepted([p, p], [q], [token], [coin, uniform]) == (1, target.draw(uniform), 0)


def test_a_law_that_is_no_number_is_said_by_the_device_as_by_the_host(monkeypatch):
    nan = float("nan")
    assert accepted([[0.1, nan], [0.5, 0.5]], [[0.9, 0.1]], [0], [0.9, 0.5])[2] == 1
    static = static_models(LLAMAS)
    monkeypatch.setattr(DeviceState, "look", lambda self, move: [0, 1, 2, 0, 0, 0, 0, 0])
    with pytest.raises(ValueError, match=r"^a law is not a number: the model's logits overflow"):
        generate(CASCADES[1], static, [1, 2], generator=torch.Generator(), max_tokens=4)
