"""Measured settings beside CAS-Spec's bounds: numbers, words and picture."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from typer.testing import CliRunner  # noqa: E402

from cscalc import Profile, effective_bound, optimal_config  # noqa: E402
from tests.checkpoints import save_checkpoint  # noqa: E402
from validate.cli import app  # noqa: E402
from validate.dsia_picture import draw  # noqa: E402
from validate.dsia_table import dsia_table, needed_alpha, part_of_profile  # noqa: E402
from validate.dsia_words import print_table, recommendation  # noqa: E402

NAMES = ("target", "int8", "skip:0.1", "prompt-lookup", "max-gram")


def profile(alphas=(0.95, 0.63, 0.2, 0.25), costs=(0.4, 0.87, 0.0005, 0.0006)):
    return Profile(list(alphas), list(costs), one_shot=[3, 4], names=list(NAMES))


def test_points_stand_in_order_of_cost_beside_every_bottom_draft():
    table = dsia_table(profile(), memory={"int8": {"shared": 3, "own": 1}})
    assert [point.name for point in table.points] == ["skip:0.1", "int8"]
    assert [over.bottom for over in table.points[0].over] == ["prompt-lookup", "max-gram"]
    assert table.bottoms["max-gram"] == (0.25, 0.0006)
    assert table.points[1].memory == {"shared": 3, "own": 1}
    assert table.points[1].low == table.points[1].alpha  # no prompts, no interval


def test_bounds_are_those_of_cscalc_for_one_shot_bottom_drafts():
    for point in dsia_table(profile()).points:
        for over in point.over:
            cheap, cost = dsia_table(profile()).bottoms[over.bottom]
            for kind, bound in over.bound.items():
                assert bound == pytest.approx(float(effective_bound(
                    kind, point.alpha, cheap, cost, one_shot=True, max_length=10
                )))  # fmt: skip


@pytest.mark.parametrize("kind", ["vertical", "horizontal"])
@pytest.mark.parametrize("cost", [0.1, 0.4, 0.7])
def test_the_rate_needed_is_where_the_bound_meets_the_cost(kind, cost):
    needed = needed_alpha(kind, cost, 0.3, 0.01)
    assert needed is not None

    def bound(alpha):
        return float(effective_bound(kind, alpha, 0.3, 0.01, one_shot=True, max_length=10))

    assert bound(needed) >= cost > bound(needed - 0.001)


def test_no_rate_makes_a_draft_pay_that_costs_as_much_as_the_target():
    assert needed_alpha("vertical", 1.2, 0.9, 0.001) is None


def test_smollm2_with_four_layers_less_does_not_pay_and_the_words_say_by_how_much():
    """Dropping 4 of 30 layers: overlap 0.63 at c = 0.87; the issue's own example."""
    found = Profile([0.63, 0.12], [0.87, 0.0004], one_shot=[2],
                    names=["smollm2-135m", "skip:0.13", "max-gram"])  # fmt: skip
    first, second = recommendation(dsia_table(found))
    assert first.startswith("No DSIA setting pays on smollm2-135m: use max-gram alone")
    bound = float(dsia_table(found).points[0].over[0].best_bound)
    needed = dsia_table(found).points[0].over[0].least_alpha
    assert f"it costs 0.87 target passes, {0.87 - bound:.2f} more than the bound of" in second
    assert f"at this cost it would need a rate of {needed:.2f}." in second
    assert 0.9 < needed < 1.0


def test_a_setting_that_pays_is_recommended_with_its_cascade():
    first, *rest = recommendation(dsia_table(profile()))
    table = dsia_table(profile())
    best = table.points[1].over
    assert first.startswith("Use int8 with ")
    assert f"predicted EWIF {max(o.ewif for o in best):.2f}" in first
    assert any(sentence.startswith("int8 pays: it costs 0.40 target passes") for sentence in rest)
    assert any(sentence.startswith("skip:0.1 does not pay") for sentence in rest)


def test_a_setting_under_its_bound_can_still_lose_where_wide_passes_cost_more():
    dear = Profile([0.8, 0.3], [0.45, 0.001], one_shot=[2], names=["t", "exit:3", "max-gram"],
                   verify=[1.0] + [4.0] * 40)  # fmt: skip
    words = recommendation(dsia_table(dear))
    assert words[0] == "No DSIA setting pays on t: decode plainly, or train a draft."
    assert "but here wider passes cost more than one, and it does not pay" in words[1]


def test_ewif_is_the_optimum_of_setting_and_bottom_draft():
    point = dsia_table(profile()).points[1]
    for over, bottom in zip(point.over, (3, 4), strict=True):
        part = part_of_profile(profile(), [0, 1, bottom])
        assert over.ewif == pytest.approx(optimal_config(part, max_length=16).ewif, rel=1e-6)


def test_a_profile_without_settings_or_bottom_is_refused():
    with pytest.raises(ValueError, match="none of mid is a DSIA setting: measure some"):
        dsia_table(Profile([0.5], [0.1], names=["t", "mid"]))
    with pytest.raises(ValueError, match="bounds need a bottom draft: measure max-gram"):
        dsia_table(Profile([0.5], [0.1], names=["t", "int8"]))


def test_the_table_prints_and_the_picture_is_drawn_twice_alike(tmp_path):
    from rich.console import Console

    console = Console(width=140, record=True, file=(tmp_path / "table.txt").open("w"))
    print_table(dsia_table(profile()), console)
    text = console.export_text()
    assert "[0.95,\u00a00.95]" in text
    assert "skip:0.1" in text
    console.file.close()
    for name in ("a.svg", "b.svg", "c.png"):
        draw(dsia_table(profile()), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "c.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("target"), seed=0, layers=4)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text(
        "write about the sea\n\ntell why the moon is\n\nland and sea", encoding="utf-8"
    )
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, ["dsia", *map(str, arguments)])


def test_the_command_writes_table_picture_and_record(checkpoint, prompts, tmp_path):
    out = tmp_path / "out"
    result = invoke(
        "--target", checkpoint, "--settings", "int8,skip:1,2,exit:2", "--bottom", "max-gram",
        "--prompts", prompts, "--max-tokens", 8, "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads((out / "dsia.json").read_text(encoding="utf-8"))
    assert found["schema"] == "validate/dsia"
    assert {point["name"] for point in found["points"]} == {"int8", "skip:1,2", "exit:2"}
    assert {point["memory"]["own"] for point in found["points"]} >= {0}
    assert len(found["recommendation"]) == 4
    assert (out / "dsia.png").is_file()
    Profile.load(out / "dsia-profile.json")


def test_the_command_chooses_layers_on_other_prompts(checkpoint, prompts, tmp_path):
    out = tmp_path / "out"
    result = invoke(
        "--target", checkpoint, "--settings", "skip:0.5", "--bottom", "max-gram", "--choose",
        "--prompts", prompts, "--max-tokens", 6, "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    layers = json.loads((out / "layers-0.5.json").read_text(encoding="utf-8"))["skipped"]
    found = json.loads((out / "dsia.json").read_text(encoding="utf-8"))
    assert found["points"][0]["name"] == "skip:" + ",".join(map(str, layers))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("mid", "--settings holds 'mid', which is no DSIA setting"),
        ("skip:0.99", "sparsity 0.99 skips all 4 layers of the target: give at most 0.75"),
        ("exit:4", "exit:4 runs 4 layers, but the target has 4: exit after at most 3"),
        ("skip:7", "skip:7 names layer 7, but the target has layers 0..3"),
    ],
)
def test_bad_settings_are_one_clear_sentence(checkpoint, prompts, tmp_path, settings, message):
    result = invoke("--target", checkpoint, "--settings", settings, "--prompts", prompts,
                    "--out", tmp_path / "out")  # fmt: skip
    assert result.exit_code != 0
    assert isinstance(result.exception, ValueError)
    assert message in str(result.exception)
