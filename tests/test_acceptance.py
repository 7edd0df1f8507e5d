"""Acceptance models as data: what they hold, refuse, write; how a profile carries them."""

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cscalc.acceptance import (
    BONUS,
    CORRECTED,
    KEPT,
    PROPOSED,
    Acceptance,
    BetaMixture,
    ByPosition,
    Conditional,
    Independent,
    Markov,
    Mixture,
    Trace,
    rate_table,
)
from cscalc.profile import Profile

rates = st.floats(0.0, 1.0)
PAIRS = [(0, 1), (0, 2), (1, 2)]


def tables(values):
    return st.dictionaries(st.sampled_from(PAIRS), values)


@st.composite
def texts(draw):
    length = draw(st.integers(1, 4))
    pairs = draw(st.sets(st.sampled_from(PAIRS), min_size=1))
    along = st.lists(rates, min_size=length, max_size=length)
    return {pair: draw(along) for pair in pairs}


vectors = st.lists(rates, min_size=2, max_size=2)
models = st.one_of(
    st.just(Independent()),
    st.builds(ByPosition, tables(st.lists(rates, min_size=1, max_size=4))),
    st.builds(Conditional, tables(rates), tables(rates), st.none() | tables(rates)),
    st.lists(st.tuples(st.floats(0.01, 9.0), vectors), min_size=1, max_size=3).map(
        lambda kinds: Mixture([w for w, _ in kinds], [a for _, a in kinds])
    ),
    st.builds(BetaMixture, st.floats(0.01, 1e6)),
    st.builds(Markov, vectors, vectors, st.floats(0.01, 1.0), rates),
    st.builds(Trace, st.lists(texts(), min_size=1, max_size=3)),
)


@given(models)
def test_a_model_survives_json_pickle_and_copies(model):
    data = json.loads(json.dumps(model.to_dict()))
    for twin in (Acceptance.from_dict(data), pickle.loads(pickle.dumps(model)), copy.copy(model)):
        assert twin == model
        assert hash(twin) == hash(model)
        assert type(twin) is type(model)
    assert copy.deepcopy(model) == model


@given(models)
def test_a_profile_carries_its_model_through_json_and_pickle(model):
    profile = Profile([0.8, 0.5], [0.2, 0.01], acceptance=model)
    for twin in (
        Profile.from_dict(json.loads(json.dumps(profile.to_dict()))),
        pickle.loads(pickle.dumps(profile)),
    ):
        assert twin == profile
        assert twin.acceptance == model
    assert (profile == Profile([0.8, 0.5], [0.2, 0.01])) == isinstance(model, Independent)


def test_a_profile_without_a_model_is_independent_and_writes_as_before():
    profile = Profile([0.8], [0.1])
    assert profile.acceptance == Independent()
    assert "acceptance" not in profile.to_dict()
    assert profile.to_dict()["version"] == 1
    assert "ByPosition" in repr(Profile([0.8], [0.1], acceptance=ByPosition({(0, 1): [0.5]})))


def test_models_cannot_be_changed():
    model = ByPosition({(0, 1): [0.5, 0.4]})
    with pytest.raises(AttributeError):
        model.rates = {}
    with pytest.raises(TypeError):
        model.rates[0, 1] = [0.9]
    with pytest.raises(ValueError, match="read-only"):
        model.rates[0, 1][0] = 0.9
    with pytest.raises(ValueError, match="read-only"):
        Markov([0.9], [0.5], 0.1, 0.1).easy[0, 1] = 0.0
    given_rates = np.array([0.5, 0.4])
    kept = ByPosition({(0, 1): given_rates})
    given_rates[0] = 0.0
    assert kept == model


def test_different_models_are_not_equal():
    assert ByPosition({(0, 1): [0.5]}) != ByPosition({(0, 1): [0.5, 0.5]})
    assert Independent() != ByPosition({})
    assert Conditional({}, {}) == Conditional({}, {}, {})
    assert Independent() != "independent"


@given(st.lists(rates, min_size=1, max_size=4), rates, rates, rates)
def test_the_rate_table_names_every_kind_and_position(along, kept, corrected, bonus):
    alphas = Profile([0.8, 0.5], [0.2, 0.01]).alphas
    table = rate_table(alphas, ByPosition({(0, 1): along}))
    assert table.shape == (4, 3, 3, len(along))
    for kind in range(4):
        assert table[kind, 0, 1].tolist() == along
        assert (table[kind, 0, 2] == 0.5).all()
    table = rate_table(alphas, Conditional({(0, 1): kept}, {(0, 1): corrected}, {(0, 1): bonus}))
    assert table[:, 0, 1, 0][[PROPOSED, KEPT, CORRECTED, BONUS]].tolist() == [
        0.8, kept, corrected, bonus,
    ]  # fmt: skip
    assert (table[:, 1, 2] == 0.5).all()
    defaulted = rate_table(alphas, Conditional({(0, 1): kept}, {(0, 1): corrected}))
    assert defaulted[BONUS, 0, 1, 0] == 0.8
    assert (rate_table(alphas, Independent())[:, :, :, 0] == alphas).all()


def test_mean_alphas_weigh_the_states():
    mixture = Mixture([1, 3], [[0.9, 0.4], [0.5, 0.0]])
    assert mixture.weights.tolist() == [0.25, 0.75]
    assert mixture.mean_alphas[0, 1:].tolist() == [0.6, 0.1]
    markov = Markov([0.9], [0.5], to_easy=0.3, to_hard=0.1)
    assert markov.stationary @ markov.steps == pytest.approx(markov.stationary, abs=1e-15)
    assert markov.mean_alphas[0, 1] == pytest.approx(0.8, abs=1e-15)
    trace = Trace([{(0, 1): [0.1, 0.2]}])
    overlaps = trace.overlaps(0, Profile([0.8, 0.5], [0.2, 0.01]).alphas)
    assert overlaps[:, 0, 1].tolist() == [0.1, 0.2]
    assert overlaps[:, 1, 2].tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: ByPosition({(0, 1): [1.5]}), ValueError, r"rates must lie in \[0, 1\], got 1.5"),
        (lambda: ByPosition({(0, 1): []}), ValueError, "rates of a pair must be a vector"),
        (lambda: ByPosition({(0, 1): 0.5}), ValueError, "rates of a pair must be a vector"),
        (lambda: ByPosition({(1, 1): [0.5]}), ValueError, "reviewer < draft"),
        (lambda: ByPosition({0: [0.5]}), TypeError, "pairs .reviewer, draft. as keys, got 0"),
        (lambda: ByPosition([0.5]), TypeError, "rates must map pairs"),
        (lambda: Conditional({(0, 1): 2}, {}), ValueError, "kept of a pair must be a finite"),
        (lambda: Conditional({(0, 1): float("nan")}, {}), ValueError, "kept of a pair"),
        (lambda: Conditional({}, {(0.5, 1): 0.2}), TypeError, "corrected reviewer must be an int"),
        (lambda: Mixture([1, 0], [[0.5], [0.9]]), ValueError, "weights must be a vector of"),
        (lambda: Mixture([1], [[0.5], [0.9]]), ValueError, "for each of the 1 weights"),
        (lambda: Mixture([1], [[[0.5, 0.1]]]), ValueError, "alphas must have shape"),
        (lambda: Mixture([], []), ValueError, "weights must be a vector"),
        (lambda: BetaMixture(0.0), ValueError, "concentration must be a finite number in"),
        (lambda: BetaMixture("4"), TypeError, "concentration must be a number"),
        (lambda: Markov([0.9], [0.5], 0.0, 0.0), ValueError, "use Mixture"),
        (lambda: Markov([0.9], [0.5], 1.1, 0.0), ValueError, "to_easy must be a finite"),
        (lambda: Markov([0.9], [0.5, 0.4], 0.1, 0.0), ValueError, "of the same models"),
        (lambda: Markov([1.9], [0.5], 0.1, 0.0), ValueError, "easy must lie in"),
        (lambda: Trace([]), ValueError, "at least one text"),
        (lambda: Trace([{}]), ValueError, "must have its length"),
        (lambda: Trace([{(0, 1): [0.5], (0, 2): [0.5, 0.1]}]), ValueError, r"lengths \[1, 2\]"),
        (lambda: Trace({(0, 1): [0.5]}), TypeError, r"write \[overlaps\]"),
        (lambda: Acceptance.from_dict({"kind": "magic"}), ValueError, "one of independent, by"),
        (lambda: Acceptance.from_dict({"kind": "markov"}), ValueError, "'markov'.*missing"),
        (lambda: Acceptance.from_dict({"kind": "trace"}), ValueError, "'trace'"),
        (lambda: Acceptance.from_dict({"kind": "by_position", "rates": {"a": [0.5]}}), ValueError,
         'a pair is written "i,j"'),
        (lambda: Acceptance.from_dict({"kind": "by_position", "rates": [0.5]}), ValueError,
         "a table of rates is"),
        (lambda: rate_table(np.eye(2), BetaMixture(4.0)), ValueError, "not a table of rates"),
    ],
)  # fmt: skip
def test_bad_models_are_refused_with_field_and_value(make, error, says):
    with pytest.raises(error, match=says):
        make()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (ByPosition({(0, 2): [0.5]}), r"rates names the pair \(0, 2\), but there are drafts 1..1"),
        (Conditional({(1, 2): 0.5}, {}), "kept names the pair"),
        (Mixture([1], [[0.5, 0.4]]), "alphas of 2 drafts, but the profile has 1"),
        (Markov([0.5, 0.4], [0.1, 0.1], 0.1, 0.1), "easy of 2 drafts"),
        (Trace([{(0, 2): [0.5]}]), "texts names the pair"),
    ],
)
def test_a_profile_refuses_a_model_of_other_drafts(model, says):
    with pytest.raises(ValueError, match=says):
        Profile([0.8], [0.1], acceptance=model)


def test_a_profile_refuses_what_is_no_model():
    with pytest.raises(TypeError, match="acceptance must be an acceptance model"):
        Profile([0.8], [0.1], acceptance="independent")
    with pytest.raises(ValueError, match=r"mine\.json.*acceptance"):
        Profile.from_dict({**Profile([0.8], [0.1]).to_dict(), "acceptance": {}}, "mine.json")
