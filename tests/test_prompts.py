import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from validate.prompts import Prompt, load_prompts

utf8 = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)
records = st.fixed_dictionaries(
    {"category": utf8, "turns": st.lists(utf8, min_size=1, max_size=3)},
    optional={"split": st.sampled_from(["measure", "held-out"]), "reference": utf8},
)
GOOD = {"question_id": 7, "category": "writing", "turns": ["Write a poem."]}


def write(path, records):
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text("".join(lines), encoding="utf-8")
    return path


class TestBundledPrompts:
    def test_are_four_for_each_of_eight_tasks_half_of_them_held_out(self):
        prompts = load_prompts()
        counts = Counter((prompt.category, prompt.split) for prompt in prompts)
        assert len(prompts) == 32
        assert len({prompt.category for prompt in prompts}) == 8
        assert set(counts.values()) == {2}
        assert len(counts) == 16

    def test_differ_from_each_other(self):
        prompts = load_prompts()
        assert len({prompt.text for prompt in prompts}) == 32
        assert [prompt.question_id for prompt in prompts] == list(range(1, 33))

    def test_are_short_enough_for_a_small_model(self):
        for prompt in load_prompts():
            assert 15 <= len(prompt.text.split()) <= 170, prompt.question_id
            assert len(prompt.turns) == 1

    @pytest.mark.parametrize("task", ["extraction", "summarisation", "question-answering"])
    def test_hold_a_passage_where_the_task_needs_one(self, task):
        chosen = [prompt for prompt in load_prompts() if prompt.category == task]
        assert len(chosen) == 4
        for prompt in chosen:
            passage = max(prompt.text.split("\n\n"), key=len)
            assert 60 <= len(passage.split()) <= 150, prompt.question_id

    @pytest.mark.parametrize("limit", [1, 8, 11, 32])
    def test_a_limit_spreads_over_the_tasks(self, limit):
        counts = Counter(prompt.category for prompt in load_prompts(limit=limit))
        assert sum(counts.values()) == limit
        assert len(counts) == min(limit, 8)

    def test_the_splits_part_them(self):
        measure, held_out = load_prompts(split="measure"), load_prompts(split="held-out")
        assert sorted(measure + held_out, key=lambda p: p.question_id) == load_prompts()


class TestSpecBenchFile:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.lists(records, min_size=1, max_size=12))
    def test_gives_back_what_was_written(self, tmp_path, drawn):
        drawn = [{"question_id": 81 + i} | record for i, record in enumerate(drawn)]
        prompts = load_prompts(write(tmp_path / "question.jsonl", drawn))
        assert len(prompts) == len(drawn)
        for prompt, record in zip(prompts, drawn, strict=True):
            assert prompt.question_id == record["question_id"]
            assert prompt.category == record["category"]
            assert prompt.turns == tuple(record["turns"])
            assert prompt.text == record["turns"][0]
            assert prompt.split == record.get("split", prompt.split)

    @pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b", "\n"])
    def test_line_marks_inside_a_turn_do_not_end_its_line(self, tmp_path, mark):
        record = GOOD | {"turns": [f"one{mark}two"]}
        assert load_prompts(write(tmp_path / "q.jsonl", [record]))[0].text == f"one{mark}two"

    def test_prompts_without_a_split_take_turns_within_their_category(self, tmp_path):
        named = ["a", "b", "a", "a", "b", "a"]
        drawn = [{"question_id": i, "category": c, "turns": ["x"]} for i, c in enumerate(named)]
        drawn.insert(1, {"question_id": 9, "category": "a", "turns": ["x"], "split": "measure"})
        prompts = load_prompts(write(tmp_path / "q.jsonl", drawn))
        unnamed = [prompt.split[0] for prompt in prompts if prompt.question_id != 9]
        assert unnamed == ["m", "m", "h", "m", "h", "h"]

    def test_a_limit_takes_from_each_category_in_turn_and_keeps_the_order(self, tmp_path):
        named = ["a", "a", "a", "a", "b", "b", "c"]
        drawn = [{"question_id": i, "category": c, "turns": ["x"]} for i, c in enumerate(named)]
        path = write(tmp_path / "q.jsonl", drawn)
        for limit, ids in [(2, [0, 4]), (4, [0, 1, 4, 6]), (99, list(range(7)))]:
            assert [prompt.question_id for prompt in load_prompts(path, limit=limit)] == ids

    def test_blank_lines_byte_order_mark_and_windows_line_ends_are_no_matter(self, tmp_path):
        path = tmp_path / "q.jsonl"
        second = json.dumps(GOOD | {"question_id": 8})
        path.write_bytes(f"\ufeff\r\n{json.dumps(GOOD)}\r\n\r\n{second}".encode())
        assert [prompt.question_id for prompt in load_prompts(str(path))] == [7, 8]

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"question_id": "8"}, "question_id must be an int, got '8'"),
            ({"question_id": True}, "question_id must be an int, got True"),
            ({"question_id": -1}, "question_id must be >= 0, got -1"),
            ({"question_id": 7}, r"question_id must be unique, got 7 again \(first in line 1\)"),
            ({"category": ""}, "category must not be blank, got ''"),
            ({"category": 3}, "category must be a string, got 3"),
            ({"turns": "Hello"}, "turns must be a list of strings, got 'Hello': put it in"),
            ({"turns": []}, "turns must hold at least one string"),
            ({"turns": ["Hello", " "]}, r"turns\[1\] must not be blank, got ' '"),
            ({"turns": [None]}, r"turns\[0\] must be a string, got None"),
            ({"split": "test"}, "split must be one of 'measure', 'held-out', got 'test'"),
        ],
    )
    def test_a_bad_field_is_named_with_its_file_and_line(self, tmp_path, bad, message):
        path = write(tmp_path / "q.jsonl", [GOOD, {}, GOOD | {"question_id": 8} | bad])
        path.write_text(path.read_text().replace("{}", ""))
        with pytest.raises((TypeError, ValueError), match=rf"q\.jsonl, line 3: {message}") as got:
            load_prompts(path)
        assert "\n" not in str(got.value)

    @pytest.mark.parametrize("field", ["question_id", "category", "turns"])
    def test_a_missing_field_is_named(self, tmp_path, field):
        record = {key: value for key, value in GOOD.items() if key != field}
        path = write(tmp_path / "q.jsonl", [record])
        with pytest.raises(ValueError, match=rf"line 1: {field} is missing: write one object"):
            load_prompts(path)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{'question_id': 1}", r"line 1: not JSON \(.*, column 2\): write one object"),
            ('["Hello"]', "line 1: must be a JSON object, got"),
            ('{"question_id": 1', "line 1: not JSON"),
        ],
    )
    def test_a_line_that_is_no_object_is_refused(self, tmp_path, line, message):
        path = tmp_path / "q.jsonl"
        path.write_text(line)
        with pytest.raises((TypeError, ValueError), match=message):
            load_prompts(path)


class TestTextFile:
    def test_holds_one_prompt_a_paragraph(self, tmp_path):
        path = tmp_path / "mine.txt"
        path.write_text("\n\nWhy is the sky blue?\nExplain.\n \n\nCount to ten.\n\nSing.\n")
        prompts = load_prompts(path)
        assert [p.text for p in prompts] == [
            "Why is the sky blue?\nExplain.",
            "Count to ten.",
            "Sing.",
        ]
        assert [p.question_id for p in prompts] == [1, 2, 3]
        assert [p.split for p in prompts] == ["measure", "held-out", "measure"]
        assert {p.category for p in prompts} == {"text"}


class TestBadCalls:
    @pytest.mark.parametrize("content", ["", "\n \n"])
    @pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
    def test_an_empty_file_is_refused(self, tmp_path, name, content):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=rf"{name} holds no prompts"):
            load_prompts(tmp_path / name)

    def test_a_split_without_prompts_is_refused(self, tmp_path):
        path = write(tmp_path / "q.jsonl", [GOOD])
        with pytest.raises(ValueError, match="no prompt with split 'held-out': choose the other"):
            load_prompts(path, split="held-out")

    def test_an_unreadable_file_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"none\.jsonl \(no such file.*\): check the path"):
            load_prompts(tmp_path / "none.jsonl")
        with pytest.raises(ValueError, match=r"cannot be read from .* \(is a directory\)"):
            load_prompts(tmp_path)
        (tmp_path / "latin.txt").write_bytes("caf\u00e9 au lait".encode("latin-1"))
        with pytest.raises(ValueError, match=r"latin\.txt must be UTF-8, got byte 3"):
            load_prompts(tmp_path / "latin.txt")

    @pytest.mark.parametrize("limit", [0, -1])
    def test_a_limit_below_one_is_refused(self, limit):
        with pytest.raises(ValueError, match="limit must be >= 1"):
            load_prompts(limit=limit)

    def test_an_unknown_split_is_refused(self):
        with pytest.raises(ValueError, match="split must be one of"):
            load_prompts(split="test")

    def test_a_prompt_is_frozen_and_keeps_all_turns(self):
        prompt = Prompt(1, "writing", ["First.", "Second."], "measure")
        assert prompt.turns == ("First.", "Second.")
        assert hash(prompt) == hash(Prompt(1, "writing", ("First.", "Second."), "measure"))
        with pytest.raises(AttributeError):
            prompt.split = "held-out"
