"""Files are written whole or not at all, and read with errors that name the file."""

import json
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cscalc._files
from cscalc._files import read_json, write_json, write_text

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@given(value=json_values)
def test_read_json_reads_what_write_json_wrote(folder, value):
    write_json(folder / "value.json", value)
    assert read_json(folder / "value.json") == value
    assert [path.name for path in folder.iterdir()] == ["value.json"]


def test_a_file_is_json_of_other_programs_too(tmp_path):
    write_json(tmp_path / "a.json", {"name": "Größe", "n": [1, 2.5]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"name": "Größe", "n": [1, 2.5]}
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"x": object()}])
def test_what_json_cannot_say_is_refused_and_nothing_is_written(tmp_path, value):
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no folder .*nowhere: create it first"):
        write_text(tmp_path / "nowhere" / "a.json", "x")


@pytest.mark.parametrize("broken", ["fsync", "chmod", "replace"])
def test_a_failure_at_any_step_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, broken):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fails(*_args, **_kwargs):
        raise OSError("no space left on device")

    home = cscalc._files.os if broken == "fsync" else cscalc._files.Path
    monkeypatch.setattr(home, broken, fails)
    with pytest.raises(OSError, match="no space left"):
        write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_that_the_user_asks_for(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "x")
        assert os.umask(umask) == umask  # left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


def test_text_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"name": "\xff\xfe"}')
    with pytest.raises(ValueError, match=r"a\.json is not UTF-8 text, so not a JSON file"):
        read_json(tmp_path / "a.json")


def test_a_path_through_a_file_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"cannot be read \(Not a directory\): check the path"):
        read_json(tmp_path / "a.json" / "b.json")


def test_half_a_file_is_refused_with_the_line(tmp_path):
    (tmp_path / "a.json").write_text('{\n "a": 1,\n "b', encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"a\.json is not valid JSON \(line 3: .*\): write it again"
    ):
        read_json(tmp_path / "a.json")
