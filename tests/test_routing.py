"""Online routing proves itself on simulated texts: regret against the best fixed configuration."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from validate.dytc import DyTC, candidates_of  # noqa: E402
from validate.dytc_learning import RouterSettings  # noqa: E402
from validate.hash_models import HashModel  # noqa: E402
from validate.routing import STATIONARY, SWITCHING, Phase, Stream, try_router  # noqa: E402
from validate.tree_shape import Comb  # noqa: E402

Z_MAX = 5.0  # two-sided false alarm 6e-7 per check, were the seed not fixed
MOST_LOST = 0.03


def routers(stream, n, **options):
    """One untaught router for each draw of the text."""
    candidates = candidates_of(stream.models(0))
    return [DyTC(candidates, RouterSettings(**options)) for _ in range(n)]


COMBS = [
    Comb(Cascade((Draft(1, 3),))),
    Comb(Cascade((Draft(1, 2), Draft(3, 4))), 2),
    Comb(Cascade((Review(1, (Draft(3, 3),), rounds=2), Draft(3, 2))), 2),
    Comb(Cascade((Review(2, (Draft(3, 5),), rounds=1),)), 1),
]


@pytest.mark.parametrize("comb", COMBS, ids=str)
def test_the_exact_speed_of_a_fixed_configuration_is_that_of_its_run(comb):
    stream = Stream((Phase(1500, (0.8, 0.6, 0.4)),), costs=(0.3, 0.15, 0.01))
    trial = try_router(stream, [comb] * 5)
    assert abs(trial.ewif - stream.fixed(comb)) < Z_MAX * trial.sigma


def test_the_best_fixed_configuration_is_the_best_of_all():
    stream = Stream((Phase(300, (0.8, 0.3)), Phase(500, (0.5, 0.7))), costs=(0.3, 0.01))
    best, ewif = stream.best_fixed(longest=4)
    others = list(stream.configurations(4))
    assert max(map(stream.fixed, others)) == ewif == stream.fixed(best)
    assert stream.fixed(Comb(Cascade(()))) == pytest.approx(1.0)
    assert stream.oracle(longest=4) > ewif
    assert stream.switches


def test_hash_models_agree_as_often_as_they_should():
    n = 20_000
    target, draft = (HashModel(lambda place, model: 0.7, 0.4, 9, model) for model in (0, 1))
    choices = [(target.choices(i, i % 7), draft.choices(i, i % 7)) for i in range(n)]
    first = np.mean([a[0] == b[0] for a, b in choices])
    second = np.mean([a[0] == b[1] for a, b in choices if a[0] != b[0]])
    assert abs(first - 0.7) < Z_MAX * (0.21 / n) ** 0.5
    assert abs(second - 0.4) < Z_MAX * (0.24 / (0.3 * n)) ** 0.5


def test_on_a_switching_stream_the_router_beats_the_best_fixed_configuration():
    """N = 8 draws of 2400 tokens; the gain is beyond 4 sigma (false alarm 3e-5)."""
    trial = try_router(SWITCHING, routers(SWITCHING, 8))
    assert trial.draws == 8
    assert trial.regret < -4.0 * trial.regret_sigma
    assert trial.ewif < trial.oracle


def test_on_a_stationary_stream_the_router_loses_little():
    """N = 4 draws of 3000 tokens; a loss beyond 3 % would be refuted at 3 sigma."""
    trial = try_router(STATIONARY, routers(STATIONARY, 4))
    assert trial.regret - 3.0 * trial.regret_sigma < MOST_LOST
    assert trial.regret < 2.0 * MOST_LOST


@pytest.mark.slow
def test_on_a_stationary_stream_the_router_loses_at_most_3_percent():
    """N = 64 draws of 3000 tokens, from the untaught state; 2 sigma above the mean."""
    trial = try_router(STATIONARY, routers(STATIONARY, 64))
    assert trial.regret + 2.0 * trial.regret_sigma < MOST_LOST


def test_the_printed_objective_loses_more_than_the_ratio():
    stream = Stream((Phase(1500, (0.8, 0.6, 0.3)),), costs=(0.3, 0.15, 0.01))
    printed = try_router(stream, routers(stream, 3, objective="printed"))
    ratio = try_router(stream, routers(stream, 3))
    sigma = np.hypot(printed.regret_sigma, ratio.regret_sigma)
    assert printed.regret - ratio.regret > Z_MAX * sigma


def test_a_stream_needs_an_alpha_for_every_cost():
    with pytest.raises(ValueError, match="every phase needs 2 alphas"):
        Stream((Phase(10, (0.5,)),), costs=(0.3, 0.01))


@pytest.mark.parametrize(
    ("tokens", "alphas", "message"), [(0, (0.5,), "tokens must be >= 1"), (5, (1.5,), "alphas")]
)
def test_a_bad_phase_is_refused(tokens, alphas, message):
    with pytest.raises(ValueError, match=message):
        Phase(tokens, alphas)
