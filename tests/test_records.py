"""Record logs: one record a key, resumed after any interruption, never two runs in one file."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cscalc.records import RecordLog, provenance, read_lines, run_id

EXPERIMENT = {"models": ["a", "b"], "seed": 1}
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
experiments = st.dictionaries(st.text(max_size=5), scalars, max_size=4)


def log_of(path, count):
    log = RecordLog(path, EXPERIMENT)
    for i in range(len(log.records), count):
        log.append(f"prompt-{i}", {"tokens": i})
    return log


class TestRunId:
    @given(experiments)
    def test_it_does_not_depend_on_the_order_of_the_fields(self, experiment):
        assert run_id(dict(reversed(experiment.items()))) == run_id(experiment)

    @given(experiments, experiments)
    def test_it_tells_unlike_experiments_apart(self, one, two):
        same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
        assert (run_id(one) == run_id(two)) == same

    def test_it_is_the_same_in_every_version_and_on_every_machine(self):
        assert run_id({"b": 2, "a": [1, None, "x"]}) == "2ab4fd6efbf54262"

    def test_nan_is_no_experiment(self):
        with pytest.raises(ValueError, match="not JSON compliant"):
            run_id({"x": float("nan")})


def test_provenance_is_json_with_versions_machine_and_command():
    found = json.loads(json.dumps(provenance()))
    assert {"python", "cscalc", "numpy"} <= set(found["versions"])
    assert found["machine"]["cores"] >= 1
    assert isinstance(found["command"], str)


class TestResume:
    def test_records_are_there_again_in_order(self, tmp_path):
        log_of(tmp_path / "log.jsonl", 3)
        again = RecordLog(tmp_path / "log.jsonl", EXPERIMENT)
        assert list(again.records.items()) == [(f"prompt-{i}", {"tokens": i}) for i in range(3)]

    def test_a_record_is_on_disk_when_append_returns(self, tmp_path):
        log = log_of(tmp_path / "log.jsonl", 1)
        for i in range(1, 4):
            log.append(f"prompt-{i}", {"tokens": i})
            assert len(list(read_lines(log.path))) == i + 2

    def test_cut_at_any_byte_it_loses_the_record_in_flight_and_no_other(self, tmp_path):
        path = log_of(tmp_path / "log.jsonl", 3).path
        whole = path.read_bytes()
        ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
        for cut in range(ends[0], len(whole) + 1):
            path.write_bytes(whole[:cut])
            kept = sum(end <= cut for end in ends) - 1
            log = RecordLog(path, EXPERIMENT)
            assert list(log.records) == [f"prompt-{i}" for i in range(kept)]
            log.append("next", {"tokens": 7})
            again = RecordLog(path, EXPERIMENT)
            assert again.records == {**log.records, "next": {"tokens": 7}}
            assert path.read_bytes().startswith(whole[: ends[kept]])

    def test_no_kill_can_leave_half_a_header(self, tmp_path, monkeypatch):
        def killed(*_args):
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            RecordLog(tmp_path / "log.jsonl", EXPERIMENT)
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_file_is_begun_anew(self, tmp_path):
        (tmp_path / "log.jsonl").touch()
        assert log_of(tmp_path / "log.jsonl", 2).records.keys() == {"prompt-0", "prompt-1"}

    def test_a_key_is_recorded_once(self, tmp_path):
        log = log_of(tmp_path / "log.jsonl", 1)
        with pytest.raises(ValueError, match="already holds a record for 'prompt-0'"):
            log.append("prompt-0", {"tokens": 9})
        assert RecordLog(log.path, EXPERIMENT).records == {"prompt-0": {"tokens": 0}}

    def test_a_record_that_is_not_json_is_refused_and_not_written(self, tmp_path):
        log = log_of(tmp_path / "log.jsonl", 1)
        before = log.path.read_bytes()
        with pytest.raises(ValueError, match="not JSON compliant"):
            log.append("bad", {"seconds": float("nan")})
        assert log.path.read_bytes() == before
        assert "bad" not in log.records

    @given(st.dictionaries(st.text(), st.text(), max_size=4))
    def test_no_text_breaks_a_line(self, texts):
        path = next(self.paths)
        log = RecordLog(path, EXPERIMENT)
        for key, value in texts.items():
            log.append(key, {"text": value, "also": "\u2028\x85\n"})
        assert RecordLog(path, EXPERIMENT).records == log.records

    @pytest.fixture(autouse=True)
    def _fresh_paths(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("logs")
        type(self).paths = (folder / f"{i}.jsonl" for i in itertools.count())


class TestRefused:
    @pytest.mark.parametrize("other", [{"seed": 1}, {"models": ["a", "b"], "seed": 2}, {}])
    def test_another_run_is_refused_and_the_file_left_alone(self, tmp_path, other):
        log = log_of(tmp_path / "log.jsonl", 2)
        before = log.path.read_bytes()
        with pytest.raises(
            ValueError, match=r"belongs to another run .* delete it or give another"
        ):
            RecordLog(log.path, other)
        assert log.path.read_bytes() == before

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("hello", "is not a record log: give another path or delete it"),
            ("hello\n", r"line 1: not JSON \(Expecting value\)"),
            ("{}\n", "is not a record log"),
            ("[1]\n", "is not a record log"),
            ('{"schema": "cscalc/profile"}\n', "is not a record log"),
            (
                '{"schema": "cscalc/records", "version": 2}\n',
                "version 2 is unknown: update cscalc",
            ),
            (b"\xff\xfe\n", "is not UTF-8 text, so not JSON Lines"),
        ],
    )
    def test_a_foreign_file_is_refused_and_left_alone(self, tmp_path, text, message):
        path = tmp_path / "log.jsonl"
        content = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            RecordLog(path, EXPERIMENT)
        assert path.read_bytes() == content

    @pytest.mark.parametrize("line", ["7", "{}", '{"key": "a"}', '{"key": "a", "value": 1}'])
    def test_a_line_that_is_no_record_is_named(self, tmp_path, line):
        path = log_of(tmp_path / "log.jsonl", 1).path
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        with pytest.raises(ValueError, match="line 3: not a record"):
            RecordLog(path, EXPERIMENT)

    def test_a_folder_and_a_missing_folder_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="is a folder: give the path of a file"):
            RecordLog(tmp_path, EXPERIMENT)
        with pytest.raises(ValueError, match="no folder"):
            RecordLog(tmp_path / "nowhere" / "log.jsonl", EXPERIMENT)


WRITER = """
import sys
from cscalc.records import RecordLog
log = RecordLog(sys.argv[1], {"models": ["a", "b"], "seed": 1})
for i in range(len(log.records), 100_000):
    print(f"begin {i}", flush=True)
    log.append(f"prompt-{i}", {"text": str(i) * 200_000})  # long, so that a kill hits a write
    print(f"done {i}", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_writer_killed_in_mid_append_loses_at_most_that_record_and_resumes(tmp_path):
    path = tmp_path / "log.jsonl"
    recorded = 0
    for delay in (0.0, 0.0002, 0.0005, 0.001, 0.002, 0.004):  # s into the append
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        said = list(itertools.islice(writer.stdout, 5))  # begin, done, begin, done, begin
        assert said[-1].startswith("begin")
        time.sleep(delay)
        os.kill(writer.pid, signal.SIGKILL)
        said += writer.communicate()[0].splitlines()
        begun = sum(line.startswith("begin") for line in said)
        done = sum(line.startswith("done") for line in said)
        assert writer.returncode == -signal.SIGKILL
        log = RecordLog(path, EXPERIMENT)
        assert recorded + done <= len(log.records) <= recorded + begun
        assert all(log.records[f"prompt-{i}"]["text"] == str(i) * 200_000
                   for i in range(len(log.records)))  # fmt: skip
        recorded = len(log.records)
    log.append(f"prompt-{recorded}", {"text": "the last"})
    assert len(RecordLog(path, EXPERIMENT).records) == recorded + 1
