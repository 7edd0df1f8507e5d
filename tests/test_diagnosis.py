"""`diagnose` names the fault that was planted, with the factor that it costs."""

import json

import pytest

torch = pytest.importorskip("torch")

import validate.cli  # noqa: E402
from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from cscalc.profile import Profile  # noqa: E402
from cscalc.records import RecordLog  # noqa: E402
from tests.test_cli import call  # noqa: E402
from validate.diagnosis import diagnose  # noqa: E402
from validate.report import report  # noqa: E402

TWO = Cascade((Draft(1, 2),))
CONTEXTS = 60
CYCLES = 40
UNIT = 0.02  # seconds of a plain token


def profile(alpha=0.6, cost=0.1, verify=(1.0, 1.0, 1.0, 1.0, 1.0), **facts):
    """One measured prompt on which every place is accepted at the same rate."""
    record = {
        "question_id": 1, "category": "writing", "prompt_tokens": 5, "contexts": CONTEXTS,
        "overlap": {"0,1": [alpha] * CONTEXTS}, "kept": {"0,1": [alpha] * CONTEXTS}, "calls": {},
        "proposed": {}, "survival": {"0,1": [1.0] * 17},
    }  # fmt: skip
    measurement = {"prompts": [record], "pass_seconds": UNIT, **facts}
    return Profile(
        [alpha], [cost], verify={0: list(verify)}, names=("big", "small"), measurement=measurement
    )


def diagnosis(
    measured, cascade=TWO, *, tokens=1.96, outside=0.0, target=None, draft=None, facts=True
):
    """Diagnosis of a run whose cycles take just what the profile says, unless told otherwise.

    1.96 tokens a cycle is what a rate of 0.6 and two proposals give.
    """
    length = cascade.max_length
    target = measured.pass_cost(0, length + 1) if target is None else target
    draft = length * measured.cost(1) if draft is None else draft
    total = round(tokens * CYCLES)
    emitted = [2] * (total - CYCLES) + [1] * (2 * CYCLES - total)
    record = {
        "question_id": 1, "category": "writing", "prompt_tokens": 5, "same_tokens": True,
        "plain": {"emitted": [1] * 100, "decode_seconds": 100 * UNIT},
        "cascade": {
            "emitted": emitted, "reviewed": [length] * CYCLES,
            "decode_seconds": CYCLES * UNIT * (target + draft + outside),
            "seconds": {"0": CYCLES * UNIT * target, "1": CYCLES * UNIT * draft},
        },
    }  # fmt: skip
    made = report(cascade, measured, [record])
    if not facts:
        made.run.pop("plain_token_seconds")
        made.run.pop("proposals_per_cycle")
    return diagnose(measured, made)


def term(found, name):
    return next(one for one in found.terms if one.name == name)


def names(found):
    return [one.name for one in found.lost if one.avoidable]


def test_time_outside_of_passes_is_named_with_its_factor():
    found = diagnosis(profile(), outside=0.3)
    assert names(found)[0] == "bookkeeping and waiting"
    assert term(found, "bookkeeping and waiting").factor == pytest.approx(1.5 / 1.2)
    gain = term(found, "bookkeeping and waiting").tokens_per_second
    assert gain == pytest.approx(0.25 * found.speedup / UNIT, rel=1e-6)
    assert "20.0 % of the time is outside of passes" in found.verdict


def test_sampling_is_parted_from_the_rest_where_it_was_measured():
    found = diagnosis(profile(sampling_seconds={"1": 0.001, "8": 0.008}), outside=0.3)
    # three rows of the target and two draws of the draft, less the plain token's own: 0.2 units
    spent = (0.001 + 0.001 * 2 + 2 * 0.001 - 0.001) / UNIT
    assert term(found, "sampling").factor == pytest.approx(1.5 / (1.5 - spent))
    rest = term(found, "bookkeeping and waiting").factor
    assert rest == pytest.approx(1.5 / (1.5 - (0.3 - spent)))


def test_passes_slower_than_measured_are_named():
    found = diagnosis(profile(), draft=0.6)
    assert names(found)[0] == "passes slower than measured"
    assert term(found, "passes slower than measured").factor == pytest.approx(1.6 / 1.2)
    assert "small +0.4" in term(found, "passes slower than measured").sentence


def test_a_draft_below_break_even_is_named_with_the_rate_that_it_needs():
    found = diagnosis(profile(alpha=0.3, cost=0.5), tokens=1.39)
    assert names(found)[0] == "a draft below break-even"
    one = term(found, "a draft below break-even")
    assert one.factor == pytest.approx(2.0 / 1.39)  # without it, plain decoding: 1
    draft = found.drafts[0]
    assert draft["break_even_alpha"] == pytest.approx(0.618034, abs=1e-6)  # a + a^2 = 1
    assert f"from a rate of {draft['break_even_alpha']:.2f} on" in one.sentence
    assert found.speedup < 1.0
    assert "does not cover" in found.verdict


def test_a_draft_that_pays_at_no_rate_is_said():
    found = diagnosis(profile(alpha=0.9, cost=1.5), tokens=1.9)
    assert "pays at no rate" in term(found, "a draft below break-even").sentence
    assert found.drafts[0]["break_even_cost"] < 1.5


def test_a_cost_far_above_the_share_of_parameters_is_a_fixed_time_a_pass():
    found = diagnosis(profile(cost=0.4, parameters={"0": 1000, "1": 100}))
    fixed = term(found, "fixed time of a draft's pass")
    assert fixed.factor == pytest.approx(1.8 / (1.8 - 0.8 * 0.75))  # 0.1 of 0.4 is its share
    assert not fixed.avoidable or "CUDA graphs" in fixed.remedy


def test_verification_that_is_not_free_is_priced():
    found = diagnosis(profile(verify=(1.0, 1.2, 1.5, 1.6)))
    assert term(found, "verification is not free").factor == pytest.approx(1.7 / 1.2)
    assert "costs 1.500 passes" in term(found, "verification is not free").sentence


def test_prompts_on_which_less_is_accepted_are_named():
    found = diagnosis(profile(), tokens=1.4)
    one = term(found, "prompts unlike the measured ones")
    expected = report(TWO, profile(), _records()).groups[0].own["tokens_per_cycle"].value
    assert one.factor == pytest.approx(expected / 1.4)
    assert names(found)[0] == one.name


def _records(seconds=0.8):
    return [{
        "question_id": 1, "category": "writing", "same_tokens": True,
        "plain": {"emitted": [1], "decode_seconds": 1.0},
        "cascade": {"emitted": [1], "reviewed": [2], "decode_seconds": 1.0,
                    "seconds": {"0": seconds}},
    }]  # fmt: skip


def test_lengths_that_are_too_long_are_named_with_better_ones():
    long = Cascade((Draft(1, 12),))
    found = diagnosis(profile(verify=(1.0,) * 20), cascade=long)
    one = term(found, "draft lengths")
    assert one.factor > 1.2
    assert "small:12" in one.sentence
    assert "draft lengths" not in names(diagnosis(profile(verify=(1.0,) * 20)))


def test_a_run_as_predicted_has_nothing_avoidable():
    found = diagnosis(profile(), facts=False)
    assert found.plain_tokens_per_second == pytest.approx(1 / UNIT)
    assert [name for name in names(found) if name != "prompts unlike the measured ones"] == []


def test_plain_decoding_has_no_terms_of_drafting():
    found = diagnosis(profile(), cascade=Cascade(()), tokens=1.0, target=1.0, draft=0.0)
    assert not found.drafts
    assert {one.name for one in found.terms} <= {
        "passes slower than measured", "bookkeeping and waiting",
        "prompts unlike the measured ones",
    }  # fmt: skip


def test_a_nested_cascade_has_a_break_even_for_each_draft():
    from validate.diagnosis_terms import _leave_out

    nested = Cascade((Review(1, (Draft(2, 3),), rounds=2), Draft(2, 1)))
    assert _leave_out(nested, 2) == Cascade((Draft(1, 2),))
    assert _leave_out(nested, 1) == Cascade((Draft(2, 1),))


def test_a_profile_of_other_models_is_refused():
    made = report(TWO, profile(), _records())
    other = Profile([0.5], [0.1], names=("a", "b"))
    with pytest.raises(ValueError, match="the report is of big, small, the profile of a, b"):
        diagnose(other, made)
    with pytest.raises(ValueError, match="no time of passes"):
        diagnose(profile(), report(TWO, profile(), _records(seconds=0.0)))
    with pytest.raises(ValueError, match="holds no measurement"):
        diagnose(Profile([0.5], [0.1], names=("big", "small")), made)


def test_the_command_reads_a_run_or_a_report(tmp_path, capsys, monkeypatch):
    profile().save(tmp_path / "profile.json")
    log = RecordLog(
        tmp_path / "run.jsonl",
        {"what": "run", "cascade": TWO.to_dict(), "models": ["big", "small"]},
    )
    log.append("1", _records()[0])
    report(TWO, profile(), _records()).save(tmp_path / "report.json")
    found = []
    for name in ("run.jsonl", "report.json"):
        command = ["diagnose", str(tmp_path / "profile.json"), str(tmp_path / name)]
        status, out, err = call(validate.cli, command, capsys, monkeypatch)
        assert status == 0, err
        assert "What each term costs" in err
        found.append(json.loads(out))
    assert found[0]["schema"] == "validate/diagnosis"
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "does not exist"), ("", "is not a run"), ('{"schema": "other"}\n', "is not a run")],
)
def test_a_file_that_is_no_run_is_one_sentence(text, message, tmp_path, capsys, monkeypatch):
    profile().save(tmp_path / "profile.json")
    if text is not None:
        (tmp_path / "run.jsonl").write_text(text)
    command = ["diagnose", str(tmp_path / "profile.json"), str(tmp_path / "run.jsonl")]
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 2
    assert message in err
