"""Pictures: no two things alike, nothing struck through, one colour a model."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from cscalc.diagram import MODEL_COLOURS  # noqa: E402
from cscalc.theory.deferral_rates import RULES  # noqa: E402
from tests.test_report_html import CASCADE, NAMES, a_report  # noqa: E402
from validate.deferral_picture import OTHERS, style_of  # noqa: E402
from validate.report_pictures import curves_picture, cycle_picture, model_colour, part_colour  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def decoders(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import decoders

    return decoders


def test_every_deferral_rule_has_its_own_colour_and_mark():
    styles = [style_of(rule) for rule in (*RULES, *OTHERS)]
    colours, marks = zip(*styles, strict=True)
    assert len(set(colours[: len(RULES)])) == len(RULES)
    assert not set(colours[: len(RULES)]) & set(colours[len(RULES) :])
    assert len(set(marks)) == len(styles)


def test_the_line_of_plain_decoding_strikes_no_label_through(decoders, monkeypatch, tmp_path):
    """It ran through "(0.50x" of the decoders that are slower."""
    import matplotlib.pyplot as plt

    row = {"tokens_per_second": 50.0, "ratio": 1.0, "low": 1.0, "high": 1.0,
           "tokens_per_cycle": 1.0, "decoder": "ours, plain"}  # fmt: skip
    slow = row | {"tokens_per_second": 25.0, "ratio": 0.5, "low": 0.45, "high": 0.55}
    seen = []
    monkeypatch.setattr(plt.Figure, "savefig", lambda figure, *_, **__: seen.append(figure))
    decoders.draw([row, slow], tmp_path / "x.png")
    (axes,) = seen[0].axes
    dotted = next(line for line in axes.lines if line.get_linestyle() == ":")
    for label in axes.texts:
        assert label.get_bbox_patch().get_facecolor() == (1.0, 1.0, 1.0, 1.0)
        assert label.get_zorder() > dotted.get_zorder()
    plt.close(seen[0])


def test_decoders_are_redrawn_from_the_record_without_timing(decoders, monkeypatch, tmp_path):
    def no_models(*_, **__):
        raise AssertionError("models were loaded")

    monkeypatch.setattr(decoders, "load_models", no_models)
    record = ROOT / "benchmarks" / "records" / "decoders.jsonl"
    picture = tmp_path / "x.png"
    arguments = ["--redraw", "--record", str(record), "--picture", str(picture)]
    monkeypatch.setattr(sys, "argv", ["decoders.py", *arguments])
    decoders.main()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(record.read_text().splitlines()[-1])["rows"]
    monkeypatch.setattr(sys, "argv", ["decoders.py", "--redraw"])
    with pytest.raises(SystemExit, match="2"):
        decoders.main()


def test_the_colour_of_a_model_follows_its_number():
    report = a_report()
    assert [part_colour(report, name) for name in NAMES] == list(MODEL_COLOURS[: len(NAMES)])
    curves = curves_picture(report).lower()
    assert all(model_colour(model).lower() in curves for model in (1, 2, 3))
    cycle = cycle_picture(report).lower()
    assert all(model_colour(model).lower() in cycle for model in (0, *CASCADE.models))
