"""What hypothesis draws: cascades of the whole grammar, and profiles that fit them."""

import numpy as np
from hypothesis import strategies as st

from cscalc.cascade import Cascade, Draft, Review, call_length
from cscalc.profile import Profile

LAST = 3  # the cheapest model
MOST = 120  # tokens in front of the target, so that plain Python keeps up
rates = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0))
small = st.integers(1, 4)
seeds = st.integers(0, 2**32)


def drafts(reviewer=0, least=0):
    """Draft in front of `reviewer`, which holds at least `least` tokens."""
    model, length = st.integers(reviewer + 1, LAST), small
    once = st.builds(Draft, model, length)
    return once | st.builds(Draft, model, length, until=st.integers(least + 1, least + 8))


@st.composite
def reviews(draw, reviewer=0, least=0):
    """Review in front of `reviewer`, by any model that still has a cheaper one to draft."""
    model = draw(st.integers(reviewer + 1, LAST - 1))
    inner = draw(segments(model, 2))
    if draw(st.booleans()):
        return Review(model, inner, rounds=draw(st.integers(1, 3)))
    return Review(model, inner, until=draw(st.integers(least + 1, least + 8)))


@st.composite
def segments(draw, reviewer, most):
    """Segments in front of `reviewer`, 1 to `most`, none already done when its turn comes."""
    found, least = [], 0
    for _ in range(draw(st.integers(1, most))):
        options = drafts(reviewer, least)
        if reviewer < LAST - 1:
            options |= reviews(reviewer, least)
        segment = draw(options)
        found.append(segment)
        if segment.until is not None:
            least = max(least, segment.until)
        else:
            least += getattr(segment, "rounds", 1) * call_length(segment)[0]
    return tuple(found)


def cascades():
    """Any cascade of models 1 to `LAST`, plain decoding included."""
    drawn = segments(0, 3).map(Cascade).filter(lambda cascade: cascade.max_length <= MOST)
    return st.one_of(drawn, drawn, drawn, drawn, drawn, st.just(Cascade(())))


@st.composite
def profiles(draw, cascade=None):
    """Profile of models 0 to `LAST` that fits `cascade`, or that any fits with none one-shot."""
    size = LAST + 1
    alphas = draw(st.lists(rates, min_size=size * size, max_size=size * size))
    costs = draw(st.lists(st.floats(0.0, 2.0), min_size=LAST, max_size=LAST))
    reviewers = set(range(LAST)) if cascade is None else {0, *cascade.reviewers}
    idle = [] if cascade is None else sorted({*range(size)} - reviewers)
    one_shot = draw(st.sets(st.sampled_from(idle))) if idle else set()
    verify = None
    if draw(st.booleans()):
        most = MOST if cascade is None else cascade.max_length
        slope = draw(st.floats(0.0, 0.1))
        table, curve = 1.0 + slope * np.arange(most + 1), lambda m: 1.0 + slope * (m - 1)
        measured = draw(st.sets(st.sampled_from(sorted(reviewers))))
        verify = {model: table if model else curve for model in sorted(measured)}
    matrix = np.array(alphas).reshape(size, size)
    if not np.triu(matrix, 1).any():  # with rates below the diagonal it would look transposed
        matrix = np.triu(matrix)
    return Profile(matrix, costs, one_shot=one_shot, verify=verify)


@st.composite
def cases(draw):
    """A cascade and a profile that fits it."""
    cascade = draw(cascades())
    return cascade, draw(profiles(cascade))


def rate_tables(n_positions=3):
    """Rates by kind of token, reviewer, draft and position, as `simulate` takes them."""
    shape = (4, LAST + 1, LAST + 1, n_positions)
    return seeds.map(lambda seed: np.random.default_rng(seed).random(shape))
