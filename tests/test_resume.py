"""One record a prompt, on disk before the next; an interrupted run goes on where it stopped."""

import json

import pytest

from validate.prompts import Prompt
from validate.resume import record_prompts

PROMPTS = [Prompt(i, "text", (text,), "held-out") for i, text in enumerate(("sea", "sun", "moon"))]


class Killed(Exception):
    pass


def recorded(log=None, *, fails_at=None, experiment=None, prompts=PROMPTS):
    """Records, and what was called in which order."""
    calls = []

    def record(place):
        calls.append(place)
        if place == fails_at:
            raise Killed
        return {"text": prompts[place].text}

    found = record_prompts(
        prompts, record, experiment=experiment or {"what": "count", "seed": 1},
        warm_up=lambda: calls.append("warm"), log=log,
        progress=lambda stage, done, of: calls.append((stage, done, of)),
    )  # fmt: skip
    return found, calls


def test_every_prompt_is_recorded_in_order_after_one_warm_up():
    found, calls = recorded()
    assert [record["text"] for record in found] == [prompt.text for prompt in PROMPTS]
    stages = [("count", i, 3) for i in range(4)]
    assert calls == ["warm", stages[0], 0, stages[1], 1, stages[2], 2, stages[3]]


def test_an_interrupted_run_goes_on_and_a_finished_one_does_nothing(tmp_path):
    log = tmp_path / "log.jsonl"
    with pytest.raises(Killed):
        recorded(log, fails_at=1)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line.get("key") for line in lines] == [None, "0"]
    assert lines[0]["experiment"]["prompts"] == [
        [i, "text", p.text] for i, p in enumerate(PROMPTS)
    ]
    found, calls = recorded(log)
    assert [one for one in calls if isinstance(one, int)] == [1, 2]
    assert calls.count("warm") == 1
    again, calls = recorded(log)
    assert again == found == recorded()[0]
    assert all(isinstance(one, tuple) for one in calls)  # only progress: no warm-up either


def test_a_log_of_other_settings_or_prompts_is_refused(tmp_path):
    recorded(tmp_path / "log.jsonl")
    for other in ({"experiment": {"what": "count", "seed": 2}}, {"prompts": PROMPTS[:2]}):
        with pytest.raises(ValueError, match="belongs to another run"):
            recorded(tmp_path / "log.jsonl", **other)
