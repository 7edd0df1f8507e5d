"""Complete enumeration: an experiment is run once for every way its chances can fall.

An experiment takes a `Chance` and asks it for coins and draws; `law_of` runs it along every
branch and returns the exact law of what it returns. Slow, and independent of every formula.
"""

from collections import defaultdict

from cscalc.cascade import Review


class Chance:
    """One branch: the first choices are given, the others are 0; `alternatives` to come."""

    def __init__(self, given):
        self.given, self.taken = given, []
        self.weight, self.alternatives = 1.0, []

    def draw(self, weights):
        """Index drawn with these chances; 0 is never entered unless it has weight."""
        possible = [i for i, w in enumerate(weights) if w > 0.0]
        k = len(self.taken)
        if k < len(self.given):
            choice = self.given[k]
        else:
            choice = possible[0]
            self.alternatives += [(*self.taken, other) for other in possible[1:]]
        self.taken.append(choice)
        self.weight *= weights[choice]
        return choice

    def coin(self, chance):
        """True with this chance."""
        return self.draw((1.0 - chance, chance)) == 1


def law_of(experiment):
    """{result: probability} of ``experiment(chance)``."""
    law, waiting = defaultdict(float), [()]
    while waiting:
        chance = Chance(waiting.pop())
        result = experiment(chance)
        law[result] += chance.weight
        waiting += chance.alternatives
    return dict(law)


def cycle(cascade, profile, accept):
    """Run one cycle token by token: (emitted, passes by model, cost).

    accept(reviewer, model, kind, position, place) -> bool, where kind is "proposed", "kept",
    "corrected" or "bonus", position counts from the start of the review, place from the start
    of the cycle.
    """
    passes = [0] * (profile.n_drafts + 1)
    cost = 0.0

    def draft(segment, place):
        nonlocal cost
        if isinstance(segment, Review):
            return review(segment.model, segment.drafts, place)
        made = 1 if segment.model in profile.one_shot else segment.length
        passes[segment.model] += made
        cost += made * profile.cost(segment.model)
        return ["proposed"] * segment.length

    def review(reviewer, drafts, place):
        nonlocal cost
        held = []
        for segment in drafts:
            if segment.until is not None:
                while len(held) < segment.until:
                    tokens = draft(segment, place + len(held))
                    held += [(segment.model, kind) for kind in tokens]
            else:
                for _ in range(getattr(segment, "rounds", None) or 1):
                    tokens = draft(segment, place + len(held))
                    held += [(segment.model, kind) for kind in tokens]
        passes[reviewer] += 1
        cost += profile.pass_cost(reviewer, len(held) + 1)
        for position, (model, kind) in enumerate(held):
            if not accept(reviewer, model, kind, position, place + position):
                return ["kept"] * position + ["corrected"]
        return ["kept"] * len(held) + ["bonus"]

    emitted = len(review(0, cascade.drafts, 0))
    return emitted, tuple(passes), round(cost, 9)


def reply(run_cycle, n_tokens):
    """Run cycles until `n_tokens` are out: (cycles, cost). run_cycle(t) -> (emitted, cost)."""
    emitted, cycles, cost = 0, 0, 0.0
    while emitted < n_tokens:
        more, spent = run_cycle(emitted)
        emitted, cycles, cost = emitted + more, cycles + 1, cost + spent
    return cycles, round(cost, 9)


def marginal(law, pick):
    """Law of ``pick(result)``."""
    found = defaultdict(float)
    for result, chance in law.items():
        found[pick(result)] += chance
    return dict(found)
