"""Descriptions of cascades: what is refused, JSON, lengths, CS Drafting's K matrix."""

import json
import pickle
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.cascade import Cascade, Draft, Review, describe, walk
from cscalc.profile import Profile
from cscalc.theory.law import cycle_law, token_law
from tests.strategies import cascades

D1, D2, D3 = Draft(1, 2), Draft(2, 3), Draft(3, 4)
# theory of arXiv:2312.11462, Algorithm 1, with a one-shot bottom of 10 tokens; recomputed
# independently: alphas, costs, incremental K, tokens, cost, EWIF
ALGORITHM_1 = [
    (
        [[1, 0.8, 0.72, 0.3], [0, 1, 0.8, 0.4], [0, 0, 1, 0.45], [0, 0, 0, 1]],
        [0.0221, 0.0068, 0.0],
        [[5, 3, 10], [0, 1, 10], [0, 0, 10]],
        (4.387312, 1.076431, 4.075794),
    ),
    (
        [[1, 0.75, 0.3], [0, 1, 0.4], [0, 0, 1]],
        [0.05, 0.0],
        [[13, 10], [0, 10]],
        (3.947635, 1.410003, 2.799734),
    ),
]


def cumulative(k_matrix):
    """The same thresholds as the paper writes them: running sums of each row."""
    return [
        [0] * r + list(accumulate(row[r:])) if any(row[r:]) else list(row)
        for r, row in enumerate(k_matrix)
    ]


@st.composite
def k_matrices(draw):
    """Incremental K matrices in which every model is used by every reviewer above it."""
    n = draw(st.integers(1, 4))
    entry = st.integers(1, 12)
    return [[0] * r + [draw(entry) for _ in range(n - r)] for r in range(n)]


class TestValidation:
    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda: Draft(0, 1), ValueError, r"model must be >= 1, got 0"),
            (lambda: Draft(-1, 1), ValueError, r"model must be >= 1, got -1"),
            (lambda: Draft(1, 0), ValueError, r"length must be >= 1, got 0"),
            (lambda: Draft(1, 2.0), TypeError, r"length must be an int, got 2\.0"),
            (lambda: Draft(True, 2), TypeError, r"model must be an int, got True"),
            (lambda: Draft("1", 2), TypeError, r"model must be an int, got '1'"),
            (lambda: Draft(1, 2, until=0), ValueError, r"until must be >= 1, got 0"),
            (lambda: Review(0, (D1,), rounds=1), ValueError, r"model must be >= 1, got 0"),
            (lambda: Review(1, (D2,), rounds=0), ValueError, r"rounds must be >= 1, got 0"),
            (lambda: Review(1, (D2,), until=0), ValueError, r"until must be >= 1, got 0"),
            (lambda: Review(1, (D2,), rounds=1.5), TypeError, r"rounds must be an int, got 1\.5"),
            (lambda: Review(1, (), rounds=1), ValueError, r"at least one draft, got drafts=\(\)"),
            (
                lambda: Review(1, (D2,)),
                ValueError,
                r"exactly one of rounds, until; got rounds=None, until=None",
            ),
            (
                lambda: Review(1, (D2,), rounds=2, until=3),
                ValueError,
                r"exactly one of rounds, until; got rounds=2, until=3",
            ),
            (lambda: Review(1, [D2], rounds=1), TypeError, r"drafts must be a tuple, got \[Draft"),
            (lambda: Cascade([D1]), TypeError, r"drafts must be a tuple, got \[Draft\(1, 2\)\]"),
            (lambda: Cascade(D1), TypeError, r"drafts must be a tuple, got Draft\(1, 2\)"),
            (
                lambda: Cascade((D1, (2, 3))),
                TypeError,
                r"drafts\[1\] must be a Draft or a Review, got \(2, 3\)",
            ),
            (
                lambda: Review(2, (D1,), rounds=1),
                ValueError,
                r"model 1 cannot draft for model 2: models run from dear to cheap",
            ),
            (
                lambda: Review(2, (D2,), rounds=1),
                ValueError,
                r"model 2 cannot draft for model 2",
            ),
            (
                lambda: Cascade((Draft(1, 5), Draft(2, 1, until=5))),
                ValueError,
                r"drafts\[1\] would never make a call: until=5 is cumulative .* at least 5 tokens",
            ),
            (
                lambda: Review(1, (Draft(2, 1, until=4), Draft(3, 1, until=3)), rounds=1),
                ValueError,
                r"drafts\[1\] would never make a call: until=3",
            ),
        ],
    )
    def test_a_bad_description_is_refused_with_field_and_value(self, make, error, message):
        with pytest.raises(error, match=message):
            make()

    def test_a_segment_that_may_still_make_a_call_is_allowed(self):
        review = Review(1, (D2,), rounds=2)  # at least 2 tokens, at most 8
        assert Cascade((review, Draft(3, 1, until=3))).max_length == 8

    def test_descriptions_are_frozen(self):
        for one, field in ((D1, "length"), (Review(1, (D2,), rounds=1), "rounds")):
            with pytest.raises(AttributeError):
                setattr(one, field, 3)
        with pytest.raises(AttributeError):
            Cascade((D1,)).drafts = ()

    def test_numpy_integers_are_integers(self):
        np = pytest.importorskip("numpy")
        assert Draft(np.int64(1), np.int32(2)) == Draft(1, 2)


class TestJson:
    @given(cascades())
    def test_from_dict_reads_what_to_dict_wrote(self, cascade):
        again = Cascade.from_dict(json.loads(json.dumps(cascade.to_dict())))
        assert again == cascade
        assert hash(again) == hash(cascade)

    @given(cascades())
    def test_the_repr_is_code_that_makes_it_and_it_pickles(self, cascade):
        names = {"Cascade": Cascade, "Draft": Draft, "Review": Review}
        assert eval(repr(cascade), names) == cascade
        assert pickle.loads(pickle.dumps(cascade)) == cascade

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (None, r'a cascade needs "schema": "cscalc/cascade", got None'),
            ([], r'needs "schema"'),
            ({"schema": "cscalc/plan"}, r"needs .* got \{'schema': 'cscalc/plan'\}"),
            ({"schema": "cscalc/cascade"}, r"version must be 1, got None: update cscalc"),
            ({"version": 2}, r"version must be 1, got 2: update cscalc"),
            ({"drafts": None}, r"drafts must be a list of segments, got None"),
            ({"drafts": {}}, r"drafts must be a list of segments"),
            ({"drafts": [7]}, r'a segment is \{"draft", "length"\} or .* got 7'),
            ({"drafts": [{"draft": 1}]}, r"a segment is .* got \{'draft': 1\}"),
            ({"drafts": [{"draft": 1, "length": 2, "rounds": 3}]}, r"a segment is"),
            ({"drafts": [{"draft": 1, "length": 0}]}, r"length must be >= 1, got 0"),
            ({"drafts": [{"review": 1, "drafts": [{"draft": 1, "length": 1}]}]}, r"cannot draft"),
            ({"drafts": [{"review": 1, "drafts": [{"draft": 2, "length": 1}]}]}, r"exactly one"),
        ],
    )
    def test_foreign_data_is_refused_with_one_sentence(self, data, message):
        if isinstance(data, dict) and "schema" not in data:
            data = {"schema": "cscalc/cascade", "version": 1, "drafts": [], **data}
        with pytest.raises(ValueError, match=message):
            Cascade.from_dict(data)

    def test_the_json_stays_readable_by_later_versions(self):
        nested = Cascade((Review(1, (Draft(2, 3, until=4),), rounds=2), Draft(3, 10)))
        assert nested.to_dict() == {
            "schema": "cscalc/cascade",
            "version": 1,
            "drafts": [
                {"review": 1, "drafts": [{"draft": 2, "length": 3, "until": 4}], "rounds": 2},
                {"draft": 3, "length": 10},
            ],
        }


def reachable_lengths(drafts):
    """Lengths that drafts can reach in front of their reviewer, by brute force."""
    reached = {0}
    for segment in drafts:
        if isinstance(segment, Draft):
            calls = {segment.length}
        else:  # a round emits 1 token, or any more up to all proposals and the bonus
            calls = set(range(1, max(reachable_lengths(segment.drafts)) + 2))
        if segment.until is None:
            for _ in range(getattr(segment, "rounds", 1)):
                reached = {length + call for length in reached for call in calls}
        else:
            while any(length < segment.until for length in reached):
                reached = {
                    end
                    for length in reached
                    for end in (
                        [length] if length >= segment.until else [length + c for c in calls]
                    )
                }
    return reached


class TestLengths:
    PROFILE = Profile([[1.0, 0.7, 0.6, 0.4]] + [[1.0, 1.0, 0.8, 0.5]] * 3, [0.3, 0.1, 0.01])

    @given(cascades())
    @settings(deadline=None, max_examples=200)
    def test_the_exact_law_emits_every_number_of_tokens_that_can_be_reached(self, cascade):
        pmf = token_law(cascade, self.PROFILE)
        longest = max(reachable_lengths(cascade.drafts))
        assert [i for i, chance in enumerate(pmf) if chance > 0] == list(range(1, longest + 2))

    @given(cascades())
    @settings(deadline=None, max_examples=200)
    def test_max_length_is_reached_unless_a_draft_of_many_tokens_is_repeated(self, cascade):
        longest = max(reachable_lengths(cascade.drafts))
        assert longest <= cascade.max_length
        repeats = [s for s in walk(cascade.drafts) if isinstance(s, Draft) and s.until]
        if all(segment.length == 1 for segment in repeats):
            assert longest == cascade.max_length

    def test_max_length_leaves_room_for_a_draft_that_proposes_fewer_tokens_than_asked(self):
        # full calls end at 10 and 20, but Max-Gram may give 1, then 10, then 10 tokens
        cascade = Cascade((Draft(1, 10, until=12),))
        assert cascade.max_length == 21
        assert reachable_lengths(cascade.drafts) == {20}

    @pytest.mark.parametrize(
        ("drafts", "kind", "models", "reviewers", "depth", "most", "text"),
        [
            ((), "plain", (), (), 0, 0, "plain decoding"),
            ((D1,), "speculative", (1,), (), 0, 2, "1:2"),
            ((D1, D3), "horizontal", (1, 3), (), 0, 6, "1:2 + 3:4"),
            ((Review(1, (D2,), rounds=2),), "vertical", (1, 2), (1,), 1, 8, "2 x [1 reviews 2:3]"),
            (
                (Review(1, (D2, D3), until=5),),
                "nested",
                (1, 2, 3),
                (1,),
                1,
                12,
                "[1 reviews 2:3 + 3:4] until 5",
            ),
            (
                (Review(1, (Review(2, (D3,), rounds=1),), rounds=1), Draft(3, 2, until=9)),
                "nested",
                (1, 2, 3),
                (1, 2),
                2,
                10,
                "1 x [1 reviews 1 x [2 reviews 3:4]] + 3:2 until 9",
            ),
        ],
    )
    def test_kind_models_depth_length_and_text(
        self, drafts, kind, models, reviewers, depth, most, text
    ):
        cascade = Cascade(drafts)
        assert (cascade.kind, cascade.models, cascade.reviewers) == (kind, models, reviewers)
        assert (cascade.depth, cascade.max_length, str(cascade)) == (depth, most, text)

    def test_names_replace_numbers_in_the_text(self):
        names = ["target", "base", "small"]
        assert describe((Review(1, (D2,), rounds=1),), names) == "1 x [base reviews small:3]"


class TestKMatrix:
    @pytest.mark.parametrize(("alphas", "costs", "k_matrix", "expected"), ALGORITHM_1)
    def test_both_forms_give_the_values_of_algorithm_1(self, alphas, costs, k_matrix, expected):
        profile = Profile(alphas, costs, one_shot=[len(costs)])
        triangle = [row[r:] for r, row in enumerate(k_matrix)]
        made = [
            Cascade.from_k_matrix(k_matrix),
            Cascade.from_k_matrix(triangle),
            Cascade.from_k_matrix(cumulative(k_matrix), form="cumulative"),
        ]
        assert made[0] == made[1] == made[2]
        law = cycle_law(made[0], profile)
        assert (law.mean, law.cost, law.ewif) == pytest.approx(expected, abs=1e-6)

    @given(k_matrices(), st.integers(1, 10))
    def test_the_incremental_and_the_cumulative_form_agree(self, k_matrix, bottom):
        one = Cascade.from_k_matrix(k_matrix, bottom_length=bottom)
        assert one == Cascade.from_k_matrix(
            cumulative(k_matrix), form="cumulative", bottom_length=bottom
        )

    @given(k_matrices(), st.integers(1, 10))
    def test_to_k_matrix_is_the_inverse(self, k_matrix, bottom):
        cascade = Cascade.from_k_matrix(k_matrix, bottom_length=bottom)
        assert cascade.to_k_matrix() == k_matrix

    def test_a_threshold_that_adds_nothing_leaves_its_model_out(self):
        assert str(Cascade.from_k_matrix([[5, 0], [0, 4]])) == "[1 reviews 2:10 until 4] until 5"
        assert str(Cascade.from_k_matrix([[0, 4], [0, 0]])) == "2:10 until 4"
        assert Cascade.from_k_matrix([[0]]) == Cascade(())

    def test_a_draft_model_that_reviews_nothing_drafts_token_by_token(self):
        assert str(Cascade.from_k_matrix([[3, 4], [0, 0]])) == "1:1 until 3 + 2:10 until 7"

    @given(cascades())
    @settings(deadline=None, max_examples=300)
    def test_a_matrix_describes_a_cascade_of_the_same_law(self, cascade):
        matrix = cascade.to_k_matrix()
        if matrix is None:
            return
        last = len(matrix)
        bottom = [s.length for s in walk(cascade.drafts) if s.model == last]
        again = Cascade.from_k_matrix(matrix, bottom_length=bottom[0])
        one, two = (token_law(c, TestLengths.PROFILE) for c in (cascade, again))
        most = min(one.size, two.size)
        assert one[:most] == pytest.approx(two[:most], abs=1e-12)
        assert sum(one[most:]) + sum(two[most:]) == 0.0

    @pytest.mark.parametrize(
        "drafts",
        [
            (),
            (Review(1, (Draft(2, 1),), rounds=2),),
            (Draft(2, 1), Draft(1, 1, until=2)),
            (Draft(1, 3, until=4), Draft(2, 10, until=9)),  # 6 tokens of model 1, not 4
            (Review(1, (Draft(2, 4),), until=5), Draft(2, 3, until=9)),  # two bottom lengths
            (Review(1, (Draft(2, 1),), until=1), Review(2, (Draft(3, 1),), until=2)),  # 2 is both
            (
                Review(1, (Review(2, (Draft(3, 1, until=2),), until=2),), until=3),
                Review(2, (Draft(3, 1, until=1),), until=9),
            ),
        ],
    )
    def test_other_cascades_have_no_k_matrix(self, drafts):
        assert Cascade(drafts).to_k_matrix() is None

    @pytest.mark.parametrize(
        ("k_matrix", "options", "error", "message"),
        [
            ([], {}, ValueError, r"at least one row, got \[\]"),
            ([[1, 2], [3, 4]], {}, ValueError, r"upper-triangular, got row 1 = \[3, 4\]"),
            ([[1, 2, 3], [4]], {}, ValueError, r"row 0 must have 2 entries .* got 3"),
            ([[1, -2], [0, 3]], {}, ValueError, r"k_matrix entry must be >= 0, got -2"),
            ([[1, 2.5], [0, 3]], {}, TypeError, r"k_matrix entry must be an int, got 2\.5"),
            ([[5, 3], [0, 1]], {"form": "cumulative"}, ValueError, r"must not decrease.*incremen"),
            ([[1]], {"form": "sum"}, ValueError, r"form must be one of .* got 'sum'"),
            ([[1]], {"bottom_length": 0}, ValueError, r"bottom_length must be >= 1, got 0"),
        ],
    )
    def test_a_bad_matrix_is_refused(self, k_matrix, options, error, message):
        with pytest.raises(error, match=message):
            Cascade.from_k_matrix(k_matrix, **options)
