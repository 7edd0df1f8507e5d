"""A made-up language of some 330 words and six tasks, for a target that trains in minutes.

The tasks stand for Spec-Bench's six: a story (conversation), translation word by word,
shortening a text (summarisation), questions about known facts, counting (maths) and questions
about a passage (retrieval). Answers copy from the prompt in some tasks and not at all in others,
so that prompt lookup is now strong and now useless.
"""

import random
from collections.abc import Callable


def _split(text: str) -> list[str]:
    return text.split()


TASKS = ("story", "translation", "summary", "question", "maths", "retrieval")
ANSWER = "<answer>"
END = "<end>"
ANIMALS = _split("""fox bear wolf owl hare deer frog swan goat crow mole seal lynx newt toad wren
    lark mouse horse goose""")
PLACES = _split("""forest river tower garden valley harbour meadow castle island cellar mountain
    village market bridge desert kitchen""")
THINGS = _split("""lamp key boat drum coin rope bell book ring sword apple bread stone shell
    feather basket mirror candle kettle ladder""")
COLOURS = _split("red green blue white black golden silver brown")
VERBS = _split("""finds loses carries hides paints breaks mends sells buys takes brings watches
    cleans throws opens guards""")
ADVERBS = _split("slowly quickly gladly sadly quietly proudly early late")
TIMES = _split("spring summer autumn winter morning evening")
KINDS = _split("owner colour price age name place")
OTHERS = _split("""the a and then it in at of is was to because likes what where who goes home with
    sleeps . ? : , count from by up down translate shorten tell about passage one day asks says
    yes friend meets answers here there every after that says has not but for again sun rises
    stays long so all end""")
NUMBERS = [str(n) for n in range(100)]
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
KNOWN = [*ANIMALS, *PLACES, *THINGS, *COLOURS, *VERBS, *ADVERBS, "the", "and", "."]


def foreign() -> dict[str, str]:
    """Return the dictionary of the translation task: a foreign word for every known one."""
    made = random.Random(1).sample([a + b for a in SYLLABLES for b in SYLLABLES], len(KNOWN))
    words = dict(zip(KNOWN, made, strict=True))
    return words | {".": "."}


FOREIGN = foreign()
_FACTS = random.Random(2)
HOME = {animal: _FACTS.choice(PLACES) for animal in ANIMALS}
LIKES = {animal: _FACTS.choice(THINGS) for animal in ANIMALS}
COLOUR = {animal: _FACTS.choice(COLOURS) for animal in ANIMALS}


def words() -> list[str]:
    """Return the vocabulary; its order gives the token numbers.

    Returns
    -------
    list of str
    """
    known = [*OTHERS, *ANIMALS, *PLACES, *THINGS, *COLOURS, *VERBS, *ADVERBS, *TIMES, *KINDS]
    return ["<pad>", END, ANSWER, *dict.fromkeys([*known, *NUMBERS, *FOREIGN.values()])]


def plain_text(rng: random.Random, length: int) -> list[list[str]]:
    """Draw plain sentences, none of which repeats an animal, verb or thing of another."""
    drawn = zip(*(rng.sample(kind, length) for kind in (ANIMALS, VERBS, THINGS)), strict=True)
    return [
        ["the", COLOUR[animal], animal, verb, "the", thing, rng.choice(ADVERBS), "."]
        for animal, verb, thing in drawn
    ]


def story(rng: random.Random) -> tuple[list[str], list[str]]:
    """A tale with a few choices, and the rest as always."""
    hero, friend = rng.sample(ANIMALS, 2)
    thing, place = rng.choice(THINGS), rng.choice(PLACES)
    time = rng.choice(TIMES)
    tale = ["one", time, "the", hero, "goes", "from", "the", HOME[hero], "to", "the", place, ".",
            "there", "it", "meets", "the", friend, "and", "says", ":", "friend", ",", "where",
            "is", "the", thing, "?", "the", friend, "answers", ":", "the", thing, "is", "in",
            "the", HOME[friend], ",", "here", "at", "the", "end", "of", "the", place, ".", "so",
            "the", hero, rng.choice(VERBS), "the", thing, rng.choice(ADVERBS), "and", "goes",
            "home", ".", "after", "that", "the", COLOUR[hero], hero, "sleeps", "long"]  # fmt: skip
    closing = [",", "and", "the", friend, "stays", "in", "the", HOME[friend], "again", "."]
    return ["tell", "about", "the", hero, "."], tale + closing


def translation(rng: random.Random) -> tuple[list[str], list[str]]:
    """A text, word by word in the foreign language."""
    text = _joined(plain_text(rng, rng.randint(3, 6)))
    return ["translate", ":", *text], [FOREIGN[word] for word in text]


def summary(rng: random.Random) -> tuple[list[str], list[str]]:
    """The first half of a text, as it stands."""
    text = plain_text(rng, rng.randint(6, 9))
    kept = text[: len(text) // 2 + 1]
    return ["shorten", ":", *_joined(text)], _joined(kept)


def _joined(parts: list[list[str]]) -> list[str]:
    return [word for part in parts for word in part]


def question(rng: random.Random) -> tuple[list[str], list[str]]:
    """Where some animals live and why: facts that are always the same."""
    asked = rng.sample(ANIMALS, rng.randint(3, 4))
    prompt = [word for animal in asked for word in ("where", "is", "the", animal, "?")]
    reply: list[str] = []
    for animal in asked:
        reply += ["the", COLOUR[animal], animal, "is", "in", "the", HOME[animal], ","]
        reply += ["because", "the", animal, "likes", "the", LIKES[animal], "."]
    return prompt, reply


def maths(rng: random.Random) -> tuple[list[str], list[str]]:
    """Counting up or down, in steps."""
    step, up = rng.randint(1, 5), rng.random() < 0.5
    first = rng.randint(0, 99)
    count = min(40, 1 + ((99 - first) if up else first) // step)
    values = [first + (step if up else -step) * i for i in range(count)]
    prompt = ["count", "up" if up else "down", "from", str(first), "by", str(step), "."]
    return prompt, [*map(str, values), "."]


def retrieval(rng: random.Random) -> tuple[list[str], list[str]]:
    """Facts of a passage, quoted one after another."""
    things = rng.sample(THINGS, rng.randint(6, 8))
    facts = [
        ["the", rng.choice(KINDS), "of", "the", thing, "is", "the",
         rng.choice([*COLOURS, *ANIMALS]), rng.choice([*PLACES, *TIMES]), "."]
        for thing in things
    ]  # fmt: skip
    asked = rng.sample(facts, 3)
    prompt = ["passage", ":", *(word for fact in facts for word in fact)]
    for fact in asked:
        prompt += ["what", "is", *fact[:5], "?"]
    closing = ["yes", ",", "that", "is", "it", "."]
    return prompt, _joined([[*fact, *closing] for fact in asked])


MAKERS: dict[str, Callable[[random.Random], tuple[list[str], list[str]]]] = {
    "story": story, "translation": translation, "summary": summary, "question": question,
    "maths": maths, "retrieval": retrieval,
}  # fmt: skip


def example(task: str, rng: random.Random) -> tuple[str, str]:
    """Draw prompt and answer of one task, as text.

    Returns
    -------
    tuple of str
    """
    prompt, answer = MAKERS[task](rng)
    return " ".join(prompt), " ".join(answer)
