"""Profiles: what is refused and in which words, frozen, saved whole, read back equal."""

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cscalc._files
from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.theory.law import ewif
from tests.strategies import cases, profiles

MATRIX = [[1, 0.8, 0.5], [0, 1, 0.6], [0, 0, 1]]
GOOD = Profile(MATRIX, [0.2, 0.01], one_shot=[2], verify=[1.0, 1.5, 1.6], names=["t", "d", "m"])
NAN, INF = float("nan"), float("inf")


class TestMeaning:
    def test_a_vector_of_rates_sets_inner_rates_to_those_of_the_target(self):
        alphas = Profile([0.8, 0.5, 0.3], [0.2, 0.1, 0.0]).alphas
        np.testing.assert_array_equal(
            alphas, [[1, 0.8, 0.5, 0.3], [0, 1, 0.5, 0.3], [0, 0, 1, 0.3], [0, 0, 0, 1]]
        )

    def test_only_rates_of_cheaper_models_are_read(self):
        rubbish = [[NAN, 0.8, 0.5], [-7, INF, 0.6], [2, 3, NAN]]
        assert Profile(rubbish, [0.2, 0.01]) == Profile(MATRIX, [0.2, 0.01])

    def test_a_pass_costs_its_model_times_the_positions_verified(self):
        profile = Profile(
            MATRIX, [0.2, 0.1], verify={0: [1, 1.5, 2], 1: lambda m: 1 + (m - 1) / 8}
        )
        assert [profile.pass_cost(0, m) for m in (1, 2, 3)] == [1, 1.5, 2]
        assert profile.pass_cost(1, 5) == pytest.approx(0.2 * 1.5)
        assert profile.pass_cost(2, 9) == 0.1
        assert (profile.max_positions(0), profile.max_positions(1)) == (3, None)

    def test_an_array_or_callable_alone_is_the_curve_of_the_target(self):
        assert set(Profile([0.5], [0.1], verify=[1, 2]).verify) == {0}
        assert set(Profile([0.5], [0.1], verify=lambda m: 1.0).verify) == {0}
        assert set(Profile([0.5], [0.1], verify={0: None}).verify) == set()

    def test_default_names_tell_the_models_apart(self):
        assert Profile([0.5, 0.3], [0.1, 0.0]).names == ("target", "draft 1", "draft 2")

    def test_a_target_without_drafts_is_a_profile(self):
        assert ewif(Cascade(()), Profile(np.ones((1, 1)), [])) == 1.0

    def test_costs_of_zero_and_rates_of_0_and_1_are_allowed(self):
        assert Profile([0, 1], [0, 0]).n_drafts == 2


BAD = [
    # alphas
    ({"alphas": [1.2, 0.5]}, ValueError, r"alphas must lie in \[0, 1\], got 1\.2: give rates"),
    ({"alphas": [-0.1, 0.5]}, ValueError, r"alphas must lie in \[0, 1\], got -0\.1"),
    ({"alphas": [NAN, 0.5]}, ValueError, r"alphas must lie in \[0, 1\], got nan"),
    ({"alphas": [INF, 0.5]}, ValueError, r"alphas must lie in \[0, 1\], got inf"),
    (
        {"alphas": [[1, 80, 50], [0, 1, 60], [0, 0, 1]]},
        ValueError,
        r"alphas must lie in \[0, 1\], got 80: give rates, not percentages",
    ),
    (
        {"alphas": [0.8]},
        ValueError,
        r"alphas must have shape \(3, 3\) or \(2,\) to match the 2 costs, got shape \(1,\)",
    ),
    ({"alphas": [[0.8, 0.5]]}, ValueError, r"shape \(3, 3\) or \(2,\) .* got shape \(1, 2\)"),
    ({"alphas": 0.8}, ValueError, r"shape \(3, 3\) or \(2,\) .* got shape \(\)"),
    ({"alphas": "high"}, TypeError, r"alphas must be numbers in a regular array, got 'high'"),
    ({"alphas": [[1, 0.8], [0]]}, TypeError, r"alphas must be numbers in a regular array"),
    ({"alphas": None}, ValueError, r"alphas must have shape"),
    # costs
    ({"costs": [-0.2, 0.1]}, ValueError, r"costs must be finite and >= 0 \(in .* got -0\.2"),
    ({"costs": [INF, 0.1]}, ValueError, r"costs must be finite and >= 0 .* got inf"),
    ({"costs": [NAN, 0.1]}, ValueError, r"costs must be finite and >= 0 .* got nan"),
    ({"costs": 0.2}, ValueError, r"costs must be a vector, one entry a draft, got 0\.2"),
    ({"costs": [[0.2, 0.1]]}, ValueError, r"costs must be a vector"),
    ({"costs": ["cheap", 0]}, TypeError, r"costs must be numbers .* got \['cheap', 0\]"),
    # one_shot
    ({"one_shot": [3]}, ValueError, r"one_shot names model 3, but there are drafts 1\.\.2"),
    ({"one_shot": [0]}, ValueError, r"one_shot must be >= 1, got 0"),
    ({"one_shot": [1.0]}, TypeError, r"one_shot must be an int, got 1\.0"),
    ({"one_shot": 2}, TypeError, r"one_shot must be a collection of models such as \(2,\), got 2"),
    # verify
    ({"verify": [2.0, 3.0]}, ValueError, r"verify of model 0 must start with 1 .* got 2: divide"),
    ({"verify": lambda m: 2.0 * m}, ValueError, r"verify of model 0 must start with 1 .* got 2"),
    ({"verify": lambda m: NAN}, ValueError, r"verify of model 0 must start with 1 .* got nan"),
    ({"verify": [1.0, 0.0]}, ValueError, r"verify of model 0 must be > 0, got 0"),
    ({"verify": [1.0, -1.0]}, ValueError, r"verify of model 0 must be finite and >= 0 .* got -1"),
    ({"verify": [1.0, NAN]}, ValueError, r"verify of model 0 must be finite .* got nan"),
    ({"verify": []}, ValueError, r"verify of model 0 must be a vector over m = 1, .* got \[\]"),
    ({"verify": [[1.0]]}, ValueError, r"verify of model 0 must be a vector"),
    ({"verify": {3: [1.0]}}, ValueError, r"verify names model 3, but there are models 0\.\.2"),
    ({"verify": {-1: [1.0]}}, ValueError, r"verify model must be >= 0, got -1"),
    ({"verify": {"0": [1.0]}}, TypeError, r"verify model must be an int, got '0'"),
    (
        {"verify": {2: [1.0]}, "one_shot": [2]},
        ValueError,
        r"verify names model 2, which is one-shot and never reviews",
    ),
    # names
    ({"names": ["a", "b"]}, ValueError, r"names must have 3 entries .* got \['a', 'b'\]"),
    ({"names": "abc"}, ValueError, r"names must have 3 entries \(target first\), got 'abc'"),
]  # fmt: skip


class TestBadInput:
    @pytest.mark.parametrize(("change", "error", "message"), BAD)
    def test_it_is_refused_with_field_and_value(self, change, error, message):
        with pytest.raises(error, match=message) as caught:
            Profile(**({"alphas": MATRIX, "costs": [0.2, 0.1]} | change))
        assert "\n" not in str(caught.value)

    def test_a_curve_that_ends_too_early_says_where(self):
        with pytest.raises(
            ValueError, match=r"known up to 3 positions, but .* can review 6: meas"
        ):
            ewif(Cascade((Draft(1, 5),)), GOOD)
        with pytest.raises(ValueError, match="positions must be >= 1, got 0"):
            GOOD.pass_cost(0, 0)

    def test_a_callable_that_goes_wrong_later_says_where(self):
        profile = Profile([0.5], [0.1], verify=lambda m: 1.0 if m < 4 else -2.0)
        with pytest.raises(ValueError, match=r"model 0 must be finite and > 0, got -2.0 at m=4"):
            ewif(Cascade((Draft(1, 5),)), profile)

    @pytest.mark.parametrize(
        ("cascade", "message"),
        [
            (Cascade((Draft(3, 1),)), r"uses model 3, but the profile has drafts 1\.\.2: add its"),
            (
                Cascade((Review(1, (Draft(4, 1),), rounds=1),)),
                r"uses model 4, but the profile has drafts 1\.\.2",
            ),
        ],
    )
    def test_a_cascade_of_models_it_lacks_is_refused(self, cascade, message):
        with pytest.raises(ValueError, match=message):
            ewif(cascade, GOOD)

    def test_a_one_shot_model_cannot_review(self):
        profile = Profile([0.8, 0.5], [0.2, 0.1], one_shot=[1])
        with pytest.raises(
            ValueError, match="model 1 is one-shot and cannot review: let it draft"
        ):
            ewif(Cascade((Review(1, (Draft(2, 1),), rounds=1),)), profile)


class TestFrozen:
    def test_no_field_can_be_set_or_deleted(self):
        with pytest.raises(AttributeError, match="frozen, so costs cannot be set: make a new one"):
            GOOD.costs = [1.0]
        with pytest.raises(AttributeError, match="frozen, so colour cannot be set"):
            GOOD.colour = "red"
        with pytest.raises(AttributeError, match="frozen, so names cannot be deleted"):
            del GOOD.names

    def test_nothing_in_it_can_be_written_to(self):
        for array in (GOOD.alphas, GOOD.costs, GOOD.verify[0], GOOD.verify_costs(0, 3)):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0.5
        with pytest.raises(TypeError, match="item assignment"):
            GOOD.verify[0] = [1.0]

    def test_it_does_not_see_what_is_done_later_to_its_arguments(self):
        alphas, costs, curve = np.array(MATRIX, dtype=float), np.array([0.2, 0.1]), np.ones(3)
        profile = Profile(alphas, costs, verify=curve)
        before = profile.to_dict()
        alphas[:], costs[:], curve[:] = 0.1, 9.0, 5.0
        assert profile.to_dict() == before
        alphas[:] = 0.2  # and its own arrays do not make the caller's read-only

    @given(profiles(Cascade((Draft(1, 1),))))
    def test_equal_profiles_have_equal_hashes_and_copies_are_equal(self, profile):
        again = Profile.from_dict(profile.to_dict())
        assert again == profile
        assert hash(again) == hash(profile)
        assert (profile == profile.to_dict()) is False

    @pytest.mark.parametrize(
        "duplicate", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
    )
    def test_copies_and_pickles_are_equal_and_as_frozen(self, duplicate):
        GOOD.verify_costs(0, 3)  # what it remembers is not part of it
        again = duplicate(GOOD)
        assert again == GOOD
        assert again.names == GOOD.names
        with pytest.raises(ValueError, match="read-only"):
            again.alphas[0, 1] = 0.0


class TestFiles:
    @given(cases())
    @settings(deadline=None, max_examples=50)
    def test_json_keeps_every_bit_of_it(self, case):
        cascade, profile = case
        again = Profile.from_dict(json.loads(json.dumps(profile.to_dict())))
        assert again == profile
        np.testing.assert_array_equal(again.alphas, profile.alphas)
        assert ewif(cascade, again) == ewif(cascade, profile)

    @given(st.dictionaries(st.text(), st.integers() | st.text() | st.none(), max_size=3))
    def test_the_measurement_behind_it_is_kept(self, measurement):
        profile = Profile([0.5], [0.1], measurement=measurement)
        assert Profile.from_dict(profile.to_dict()).measurement == measurement

    def test_load_reads_what_save_wrote(self, tmp_path):
        GOOD.save(tmp_path / "profile.json")
        assert Profile.load(tmp_path / "profile.json") == GOOD
        assert Profile.load(str(tmp_path / "profile.json")) == GOOD
        assert [path.name for path in tmp_path.iterdir()] == ["profile.json"]

    def test_a_callable_curve_is_saved_as_256_numbers(self, tmp_path):
        profile = Profile([0.5], [0.1], verify=lambda m: 1 + (m - 1) / 64)
        profile.save(tmp_path / "profile.json")
        again = Profile.load(tmp_path / "profile.json")
        assert again.max_positions(0) == 256
        assert again.pass_cost(0, 65) == 2.0

    @pytest.mark.parametrize("fails", ["json", "disk", "rename", "interrupt"])
    def test_a_write_that_fails_leaves_the_old_file_whole(self, tmp_path, monkeypatch, fails):
        path = tmp_path / "profile.json"
        GOOD.save(path)
        before = path.read_bytes()
        profile, error = Profile([0.1], [0.1]), OSError

        def broken(*_args, **_kwargs):
            raise KeyboardInterrupt if fails == "interrupt" else OSError("disk full")

        if fails == "json":
            profile, error = Profile([0.1], [0.1], measurement={"seconds": NAN}), ValueError
        elif fails == "rename":
            monkeypatch.setattr(cscalc._files.Path, "replace", broken)
        else:
            error = KeyboardInterrupt if fails == "interrupt" else OSError
            monkeypatch.setattr(cscalc._files.os, "fsync", broken)
        with pytest.raises(error):
            profile.save(path)
        assert path.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["profile.json"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", r"not valid JSON \(line 1: Expecting value\): write it again"),
            ("alphas: 0.8", r"not valid JSON \(line 1"),
            ('{"schema": "cscalc/profile",\n "alphas": [0.8', r"not valid JSON \(line 2"),
            ("[1, 2]", r'not a profile \("schema" must be "cscalc/profile"\)'),
            ("null", r"not a profile"),
            ('{"schema": "cscalc/plan", "version": 1}', r"not a profile"),
            ('{"version": 2}', r"profile version 2 is unknown: update cscalc"),
            ('{"version": null}', r"profile version None is unknown: update cscalc"),
            ('{"alphas": [0.8]}', r"costs missing: measure again"),
            ("{}", r"alphas and costs missing: measure again"),
            ('{"alphas": [0.8], "costs": [-1]}', r"costs must be finite and >= 0 .* got -1"),
            ('{"alphas": [NaN], "costs": [0.1]}', r"alphas must lie in \[0, 1\], got nan"),
            (
                '{"alphas": [0.8], "costs": [0.1], "verify": [1]}',
                r"verify must map models .* got \[1\]",
            ),
            (
                '{"alphas": [0.8], "costs": [0.1], "verify": {"x": [1]}}',
                r"verify must map .* got \{'x': \[1\]\}",
            ),
            ('{"alphas": [0.8], "costs": [0.1], "one_shot": 1}', r"one_shot must be a collection"),
            ('{"alphas": [0.8], "costs": [0.1], "one_shot": null}', r"one_shot must be a coll"),
            ('{"alphas": [0.8], "costs": [0.1], "names": 3}', r"names must have 2 entries"),
            ('{"alphas": [0.8], "costs": [0.1], "measurement": 3}', r"measurement must be"),
        ],
    )
    def test_garbage_and_foreign_files_are_refused_with_the_path(self, tmp_path, text, message):
        path = tmp_path / "some.json"
        if text.startswith("{") and '"schema"' not in text:
            filled = {"schema": "cscalc/profile", "version": 1, **json.loads(text)}
            text = json.dumps(filled)
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message) as caught:
            Profile.load(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)

    def test_a_missing_file_and_a_folder_are_refused_with_the_path(self, tmp_path):
        with pytest.raises(
            FileNotFoundError, match=r"nothing\.json does not exist: check the path"
        ):
            Profile.load(tmp_path / "nothing.json")
        with pytest.raises(ValueError, match="is a folder, not a JSON file"):
            Profile.load(tmp_path)
