import copy
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from validate.ngram import MaxGram, PromptLookup, _max_gram_slow, _prompt_lookup_slow
from validate.statistical import FirstOf, NGramModel
from validate.suffix import FirstPlaces, SuffixAutomaton, common_length

VOCAB = 3
symbols = st.integers(0, VOCAB - 1)
texts = st.lists(symbols, max_size=40) | st.lists(st.integers(0, 1), max_size=40)
full_texts = texts.filter(bool)
lengths = st.integers(1, 12)
edits = st.one_of(
    st.tuples(st.just("grow"), st.lists(symbols, max_size=6)),
    st.tuples(st.just("shrink"), st.integers(0, 8)),
    st.tuples(st.just("jump"), texts),
)
histories = st.lists(edits, min_size=1, max_size=25)
options = st.tuples(st.integers(1, 4), st.integers(1, 4), st.booleans()).filter(
    lambda option: option[0] >= option[1]
)


def contexts(history):
    """The contexts that a decoder would ask about, one after each edit."""
    text = []
    for kind, change in history:
        if kind == "grow":
            text = text + change
        elif kind == "shrink":
            text = text[: max(0, len(text) - change)]
        else:
            text = change
        yield list(text)


def longest_match_by_str_find(text, length):
    """Max-Gram by the string search of the standard library."""
    string = "".join(map(chr, text))
    for size in range(len(text) - 1, 0, -1):
        start = string.find(string[-size:], 0, len(string) - 1)
        if start != -1:
            return text[start + size : start + size + length]
    return []


def structure(automaton):
    kept = {key: value for key, value in vars(automaton).items() if key != "steps"}
    return copy.deepcopy(kept)


class TestMaxGram:
    @settings(max_examples=300, deadline=None)
    @given(histories, lengths)
    @example([("grow", [0, 0, 0]), ("shrink", 1), ("grow", [1]), ("shrink", 2), ("grow", [0])], 3)
    def test_equals_its_slow_twin_however_the_text_grows_shrinks_and_jumps(self, history, length):
        draft = MaxGram(VOCAB)
        for text in contexts(history):
            assert draft.propose(text, length) == _max_gram_slow(text, length)

    @settings(max_examples=300, deadline=None)
    @given(full_texts, lengths)
    def test_equals_a_search_by_the_standard_library(self, text, length):
        assert MaxGram(VOCAB).propose(text, length) == longest_match_by_str_find(text, length)

    @settings(max_examples=200, deadline=None)
    @given(full_texts, lengths)
    def test_proposals_continue_the_first_of_the_longest_earlier_matches(self, text, length):
        ends = range(1, len(text))
        matched = [
            max(n for n in range(end + 1) if text[end - n : end] == text[len(text) - n :])
            for end in ends
        ]
        proposal = MaxGram(VOCAB).propose(text, length)
        if max(matched, default=0) == 0:
            assert proposal == []
        else:
            end = ends[matched.index(max(matched))]
            assert proposal == text[end : end + length]

    @given(full_texts, lengths)
    def test_abstains_exactly_when_the_last_token_is_new(self, text, length):
        assert bool(MaxGram(VOCAB).propose(text, length)) == (text[-1] in text[:-1])

    def test_never_proposes_the_beginning_of_the_prompt_for_want_of_a_match(self):
        draft = MaxGram(10)
        for text in ([1, 2, 3, 4], [1], [1, 1, 2], [5, 6, 5, 6, 7]):
            assert draft.propose(text, 5) == []

    def test_takes_the_earliest_of_equal_matches_and_a_longer_one_before_an_earlier_one(self):
        assert MaxGram(10).propose([1, 5, 1, 6, 1], 1) == [5]
        assert MaxGram(10).propose([1, 5, 2, 1, 6, 2, 1], 1) == [6]

    def test_never_pads_nor_copies_its_own_proposals(self):
        assert MaxGram(10).propose([4, 4], 5) == [4]
        assert MaxGram(10).propose([1, 2, 1, 2], 5) == [1, 2]

    @given(full_texts, lengths)
    def test_leaves_the_context_as_it_was(self, text, length):
        before = list(text)
        MaxGram(VOCAB).propose(text, length).append(99)
        assert text == before

    def test_what_is_done_to_a_proposal_or_a_context_later_changes_no_answer(self):
        draft, text = MaxGram(10), [1, 2, 3, 1]
        draft.propose(text, 3).clear()
        text[0] = 9
        assert draft.propose(text, 3) == []
        assert draft.propose([1, 2, 3, 1], 3) == [2, 3, 1]

    @pytest.mark.parametrize("kind", [tuple, np.array, lambda text: np.array(text, np.int32)])
    def test_takes_tuples_and_arrays_and_gives_plain_ints(self, kind):
        proposal = MaxGram(10).propose(kind([1, 2, 3, 1]), 2)
        assert proposal == [2, 3]
        assert [type(token) for token in proposal] == [int, int]

    def test_takes_a_tensor(self):
        torch = pytest.importorskip("torch")
        assert MaxGram(10).propose(torch.tensor([1, 2, 3, 1]), 2) == [2, 3]


class TestPromptLookup:
    @settings(max_examples=300, deadline=None)
    @given(histories, lengths, options)
    def test_equals_its_slow_twin_however_the_text_grows_shrinks_and_jumps(
        self, history, length, option
    ):
        longest, shortest, full_only = option
        draft = PromptLookup(VOCAB, longest, shortest, full_only=full_only)
        for text in contexts(history):
            slow = _prompt_lookup_slow(text, length, longest, shortest, full_only)
            assert draft.propose(text, length) == slow

    @given(full_texts, lengths, st.integers(1, 4))
    def test_full_only_proposes_all_tokens_or_none(self, text, length, longest):
        proposal = PromptLookup(VOCAB, longest, full_only=True).propose(text, length)
        assert len(proposal) in (0, length)

    @given(full_texts, lengths)
    def test_equals_max_gram_when_every_length_of_match_is_tried(self, text, length):
        draft = PromptLookup(VOCAB, max_ngram=max(1, len(text)))
        assert draft.propose(text, length) == MaxGram(VOCAB).propose(text, length)

    def test_an_overlapping_match_is_one(self):
        assert PromptLookup(10, 2, 2).propose([4, 4, 4], 3) == [4]

    def test_a_long_match_without_full_continuation_gives_way_to_a_shorter_one(self):
        text = [2, 7, 8, 9, 1, 2, 3, 1, 2]
        assert PromptLookup(10).propose(text, 4) == [3, 1, 2]
        assert PromptLookup(10, full_only=True).propose(text, 4) == [7, 8, 9, 1]


class TestTheRememberedText:
    @settings(max_examples=200, deadline=None)
    @given(texts, st.lists(symbols, min_size=1, max_size=8))
    @pytest.mark.parametrize("make", [SuffixAutomaton, lambda: FirstPlaces((3, 2, 1))])
    def test_pop_leaves_exactly_what_was_there_before_the_append(self, make, text, added):
        remembered = make()
        for token in text:
            remembered.append(token)
        before = []
        for token in added:
            before.append(structure(remembered))
            remembered.append(token)
        while before:
            remembered.pop()
            assert structure(remembered) == before.pop()

    @pytest.mark.parametrize("draft", [MaxGram(VOCAB), PromptLookup(VOCAB)])
    def test_a_call_changes_only_the_end_that_changed(self, draft, monkeypatch):
        text = [0, 1, 2] * 100
        draft.propose(text, 5)
        changes = Counter()
        for name in ("append", "pop", "clear"):
            method = getattr(draft._text, name)

            def counted(*token, name=name, method=method):
                changes[name] += 1
                method(*token)

            monkeypatch.setattr(draft._text, name, counted)
        draft.propose([*text[:-2], 0, 0, 0], 5)
        assert changes == {"pop": 2, "append": 3}
        draft.propose([2, 2], 5)  # another prompt: forgotten, not taken back token by token
        assert changes == {"pop": 2, "append": 5, "clear": 1}

    @pytest.mark.parametrize("draft", [MaxGram(10), PromptLookup(10)])
    def test_a_refused_call_leaves_it_whole(self, draft):
        draft.propose([1, 2, 3, 1], 2)
        with pytest.raises(ValueError, match="must be < vocab_size"):
            draft.propose([1, 2, 4, 10], 2)
        assert draft.propose([1, 2, 3, 1, 2], 2) == [3, 1]

    @pytest.mark.parametrize("draft", [MaxGram(10), PromptLookup(10)])
    def test_an_interrupted_call_spoils_no_later_one(self, draft, monkeypatch):
        draft.propose([1, 2, 3, 1], 2)
        append = draft._text.append

        def interrupted(token):
            if token == 5:
                draft._text.tokens.append(token)  # halfway through a change
                raise KeyboardInterrupt
            append(token)

        monkeypatch.setattr(draft._text, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            draft.propose([1, 2, 3, 1, 5], 2)
        monkeypatch.undo()
        assert draft.propose([1, 2, 3, 1, 5, 2, 5], 2) == [2, 5]

    @given(texts, texts, texts)
    def test_common_length_is_that_of_the_common_beginning(self, stem, left, right):
        left, right = stem * 5 + left, stem * 5 + right
        pairs = zip(left, right, strict=False)
        expected = next(
            (place for place, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right))
        )
        assert common_length(left, right) == expected


def fibonacci_word(n):
    shorter, word = [0], [0, 1]
    while len(word) < n:
        shorter, word = word, word + shorter
    return word[:n]


LONG_TEXTS = {
    "one token": [0] * 2000,
    "loop of 20": list(range(20)) * 100,
    "one token, then others": [0] * 1000 + [1] * 1000,
    "Fibonacci": fibonacci_word(2000),
    "random": np.random.default_rng(2312).integers(0, 2, 2000).tolist(),
    "all different": list(range(2000)),
    "a^n b a^n c": [0] * 700 + [1] + [0] * 700 + [2] + [0] * 598,
}


class TestWork:
    # Blumer et al. 1985: at most 2n - 1 states and 3n - 4 transitions, none ever removed while
    # the text grows. A step is a token added, a transition made or copied (3n in all), or one
    # redirected (linear as well, by amortisation). Observed: at most 5 steps a token in all.

    @pytest.mark.parametrize("text", LONG_TEXTS.values(), ids=LONG_TEXTS)
    def test_a_growing_text_takes_at_most_six_steps_a_token(self, text):
        automaton = SuffixAutomaton()
        for token in text:
            automaton.append(token)
        assert automaton.steps <= 6 * len(text)
        assert len(automaton.size) <= 2 * len(text)
        assert sum(map(len, automaton.next)) <= 3 * len(text)

    @settings(max_examples=200, deadline=None)
    @given(full_texts)
    def test_a_growing_random_text_does_too(self, text):
        automaton = SuffixAutomaton()
        for token in text:
            automaton.append(token)
        assert automaton.steps <= 6 * len(text)

    @settings(max_examples=200, deadline=None)
    @given(texts, symbols)
    def test_taking_a_token_back_takes_no_more_steps_than_adding_it(self, text, token):
        automaton = SuffixAutomaton()
        for earlier in text:
            automaton.append(earlier)
        before = automaton.steps
        automaton.append(token)
        added = automaton.steps - before
        automaton.pop()
        assert automaton.steps - before <= 2 * added

    @pytest.mark.parametrize("period", [5, 20, 64])
    def test_rejections_on_looping_text_cost_one_step_a_repeat_of_the_loop(self, period):
        draft, text = MaxGram(1000), list(range(period)) * (2000 // period)
        draft.propose(text, 10)
        before, calls = draft._text.steps, 100
        for call in range(calls):  # a wrong token is proposed, taken back, and the loop goes on
            draft.propose([*text, 500 + call], 10)
            text.append(text[-period])
            draft.propose(text, 10)
        assert draft._text.steps - before <= calls * 4 * (len(text) / period + 2)


BAD_CALLS = [
    ([1, 2], 0, ValueError, "length must be >= 1, got 0"),
    ([1, 2], -3, ValueError, "length must be >= 1"),
    ([1, 2], 2.0, TypeError, "length must be an int"),
    ([1, 2], True, TypeError, "length must be an int"),
    ([1, 10], 2, ValueError, r"tokens\[1\] must be < vocab_size = 10, got 10: use the tokenizer"),
    ([-1, 2], 2, ValueError, r"tokens\[0\] must be >= 0, got -1"),
    ([1, 2.5], 2, TypeError, r"tokens\[1\] must be an int, got 2.5"),
    ("12", 2, TypeError, r"tokens\[0\] must be an int, got '1'"),
]
MAKERS = [
    lambda: MaxGram(10),
    lambda: PromptLookup(10),
    lambda: NGramModel.from_tokens([1, 2, 1], order=3, vocab_size=10),
    lambda: FirstOf([MaxGram(10)]),
    lambda: FirstOf([MaxGram(10), PromptLookup(10)], pad=True),
]


class TestEveryDraft:
    @pytest.mark.parametrize("make", MAKERS)
    def test_abstains_on_an_empty_context(self, make):
        assert make().propose([], 5) == []

    @pytest.mark.parametrize("make", MAKERS)
    @pytest.mark.parametrize(("tokens", "length", "error", "message"), BAD_CALLS)
    def test_refuses_bad_calls(self, make, tokens, length, error, message):
        with pytest.raises(error, match=message):
            make().propose(tokens, length)

    @pytest.mark.parametrize("make", MAKERS)
    @settings(max_examples=50, deadline=None)
    @given(histories, lengths)
    def test_answers_depend_on_the_context_alone(self, make, history, length):
        draft = make()
        for text in contexts(history):
            proposal = draft.propose(text, length)
            assert proposal == make().propose(text, length)
            assert len(proposal) <= length

    @pytest.mark.parametrize("make", MAKERS)
    def test_has_a_name_and_a_vocabulary(self, make):
        assert make().name
        assert make().vocab_size == 10

    @pytest.mark.parametrize("make", [MaxGram, PromptLookup])
    @pytest.mark.parametrize(("size", "error"), [(0, ValueError), (2.5, TypeError)])
    def test_refuses_a_bad_vocabulary(self, make, size, error):
        with pytest.raises(error, match="vocab_size must be"):
            make(size)

    def test_prompt_lookup_refuses_bad_sizes(self):
        with pytest.raises(ValueError, match="max_ngram must be >= min_ngram, got 2 < 3"):
            PromptLookup(10, max_ngram=2, min_ngram=3)
        with pytest.raises(ValueError, match="min_ngram must be >= 1, got 0"):
            PromptLookup(10, min_ngram=0)


def counted_law(text, context, order, vocab, floor):
    """The law by Fractions: count every place where the longest seen context stands."""
    for size in range(min(order - 1, len(context)), -1, -1):
        tail = context[len(context) - size :]
        places = [p for p in range(size, len(text)) if text[p - size : p] == tail]
        if places:
            counts = Counter(text[p] for p in places)
            return [
                (1 - floor) * Fraction(counts[token], len(places)) + floor / vocab
                for token in range(vocab)
            ]
    raise AssertionError("the empty context stands everywhere")


class TestNGramModel:
    @settings(max_examples=150, deadline=None)
    @given(full_texts, full_texts, st.integers(1, 4), st.integers(0, 4), st.data())
    def test_laws_equal_exact_counts_for_each_prefix(self, text, context, order, floor, data):
        floor = Fraction(floor, 4)
        n_last = data.draw(st.integers(1, len(context)))
        model = NGramModel.from_tokens(text, order, vocab_size=VOCAB, floor=float(floor))
        laws = model.next_token_probs(context, n_last)
        assert laws.shape == (n_last, VOCAB)
        assert laws.dtype == np.float64
        for row in range(n_last):
            prefix = context[: len(context) - n_last + 1 + row]
            exact = counted_law(text, prefix, order, VOCAB, floor)
            np.testing.assert_allclose(laws[row], np.array(exact, float), rtol=0, atol=1e-15)

    @given(full_texts, full_texts, st.integers(2, 4), lengths)
    def test_the_chain_takes_the_likeliest_token_of_its_own_law(
        self, text, context, order, length
    ):
        model = NGramModel.from_tokens(text, order, vocab_size=VOCAB, floor=0.25)
        proposal = model.propose(context, length)
        for place, token in enumerate(proposal):
            law = model.next_token_probs(context + proposal[:place], 1)[0]
            assert token == np.argmax(law)
        if len(proposal) < length:  # it ended where the last token was never seen followed
            assert (context + proposal)[-1] not in text[:-1]

    @given(full_texts, full_texts, st.integers(1, 4))
    def test_laws_sum_to_one_and_the_floor_bounds_them_from_below(self, text, context, order):
        model = NGramModel.from_tokens(text, order, vocab_size=VOCAB, floor=0.3)
        laws = model.next_token_probs(context, len(context))
        np.testing.assert_allclose(laws.sum(axis=1), 1.0, rtol=1e-14)
        assert laws.min() >= 0.3 / VOCAB - 1e-15

    def test_ties_go_to_the_smallest_token(self):
        assert NGramModel.from_tokens([0, 2, 0, 1], vocab_size=3).propose([0], 1) == [1]

    def test_backs_off_to_the_longest_context_that_was_seen(self):
        model = NGramModel.from_tokens([0, 1, 2, 1, 0], order=3, vocab_size=4)
        assert model.propose([0, 1], 1) == [2]
        assert model.propose([3, 1], 1) == [0]  # 1 was followed by 2 and by 0: a tie
        assert model.propose([1, 3], 1) == []

    def test_a_unigram_model_repeats_the_most_frequent_token(self):
        assert NGramModel.from_tokens([2, 1, 2], order=1, vocab_size=4).propose([0], 3) == [2] * 3

    def test_counts_add_up_to_the_tokens_of_the_text(self):
        model = NGramModel.from_tokens([0, 1, 0, 2, 0], order=2, vocab_size=3)
        assert dict(model.followers[()]) == {0: 3, 1: 1, 2: 1}
        assert sum(sum(n.values()) for c, n in model.followers.items() if len(c) == 1) == 4

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            ({"tokens": []}, ValueError, "tokens must hold at least one token"),
            ({"tokens": [0, 9]}, ValueError, r"tokens\[1\] must be < vocab_size = 4, got 9"),
            ({"order": 0}, ValueError, "order must be >= 1"),
            ({"vocab_size": 0}, ValueError, "vocab_size must be >= 1"),
            ({"floor": math.nan}, ValueError, "floor must be a finite number"),
            ({"floor": 1.5}, ValueError, r"floor must be a finite number in \[0, 1\]"),
        ],
    )
    def test_refuses_bad_counts(self, call, error, message):
        with pytest.raises(error, match=message):
            NGramModel.from_tokens(**({"tokens": [0, 1], "vocab_size": 4} | call))

    def test_refuses_more_laws_than_tokens(self):
        model = NGramModel.from_tokens([0, 1], vocab_size=4)
        with pytest.raises(ValueError, match="n_last must be <= 1, the tokens given, got 2"):
            model.next_token_probs([0], 2)
        with pytest.raises(ValueError, match="followers must hold the counts of"):
            NGramModel({}, vocab_size=4)


class TestFirstOf:
    BIGRAM = NGramModel.from_tokens([0, 1, 2, 0, 1], vocab_size=VOCAB)

    @given(full_texts, lengths)
    def test_takes_the_first_that_proposes_something(self, text, length):
        first, second = MaxGram(VOCAB).propose(text, length), self.BIGRAM.propose(text, length)
        assert FirstOf([MaxGram(VOCAB), self.BIGRAM]).propose(text, length) == (first or second)

    @given(full_texts, lengths)
    def test_padding_continues_the_first_proposal_to_the_full_length(self, text, length):
        first = MaxGram(VOCAB).propose(text, length)
        proposal = FirstOf([MaxGram(VOCAB), self.BIGRAM], pad=True).propose(text, length)
        assert len(proposal) == length  # every token was seen followed, so the bigram never ends
        assert proposal[: len(first)] == first
        for before, token in zip(
            (text + proposal)[len(text + first) - 1 :], proposal[len(first) :], strict=False
        ):
            assert token == (before + 1) % 3

    def test_each_draft_continues_what_the_earlier_ones_proposed(self):
        first = NGramModel.from_tokens([0, 1], vocab_size=5)
        second = NGramModel.from_tokens([1, 2, 3], vocab_size=5)
        assert FirstOf([first, second]).propose([0], 4) == [1]
        assert FirstOf([first, second], pad=True).propose([0], 4) == [1, 2, 3]

    def test_names_its_drafts_in_order(self):
        assert FirstOf([MaxGram(VOCAB), self.BIGRAM]).name == "max-gram+2-gram"

    def test_refuses_no_drafts_and_unlike_vocabularies(self):
        with pytest.raises(ValueError, match="drafts must hold at least one draft"):
            FirstOf([])
        with pytest.raises(ValueError, match=r"one vocabulary, got vocab_size \[3, 4\]"):
            FirstOf([MaxGram(3), MaxGram(4)])
