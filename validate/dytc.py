"""DyTC, CAS-Spec's dynamic tree cascade: a router that grows each tree step by step.

Ning, Shao, Xu, Guo, Zhang, Zhang, Li, "CAS-Spec: Cascade Adaptive Self-Speculative Decoding",
NeurIPS 2025, arXiv:2510.26843, Algorithms 1 and 2. Where the paper leaves a choice or slips, the
class's notes say what is done here.
"""

from collections.abc import Sequence
from dataclasses import replace

from cscalc.cascade import Draft, Review, Segment
from cscalc.profile import Profile
from validate.dytc_learning import Learner, RouterSettings
from validate.dytc_rule import Candidate, Choice, Leaf, best_printed, best_ratio
from validate.models import Models
from validate.tree_decoder import Proposed, TreeDecoder, Verdict


def candidates_of(
    models: Models, *, longest: int = 5, lookup: int = 10, inner: int = 3
) -> tuple[Segment, ...]:
    """Configurations that CAS-Spec routes among: each draft, and each reviewing the bottom one.

    Parameters
    ----------
    models : Models
        With the bottom draft last; vertical cascades are made if it is one-shot.
    longest : int
        Most passes, or rounds, of a step (the paper's k_max).
    lookup : int
        Most tokens of a one-shot draft's call.
    inner : int
        Tokens that the bottom draft proposes to an inner reviewer.

    Returns
    -------
    tuple of Draft and Review

    Examples
    --------
    >>> from validate.models import TableModel
    >>> from validate.ngram import MaxGram
    >>> import torch
    >>> table = TableModel(torch.zeros(3, 3))
    >>> [str(s) for s in candidates_of(Models.of(table, table, MaxGram(3)), longest=2)]
    ['Draft(1, 2)', 'Draft(2, 10)', 'Review(1, (Draft(2, 3),), rounds=2)']
    """
    last = len(models) - 1
    singles = tuple(
        Draft(m, lookup if m in models.one_shot else longest) for m in range(1, last + 1)
    )
    if last not in models.one_shot:
        return singles
    pairs = tuple(
        Review(m, (Draft(last, inner),), rounds=longest)
        for m in range(1, last)
        if m in models.language
    )
    return (*singles, *pairs)


class DyTC:
    """A router among drafts and small cascades that grows the tree of every cycle.

    Parameters
    ----------
    candidates : sequence of Draft and Review
        ``Draft(model, n)``: a step of up to n passes of a draft, or one call for up to n tokens
        if it is one-shot; ``Review(model, (draft,), rounds=n)``: up to n rounds of a vertical
        cascade.
    settings : RouterSettings, optional
    profile : Profile, optional
        Where the estimates start; default acceptance 0.5 and cost 0.3 (one-shot: 0.01).

    Attributes
    ----------
    rates : dict of int -> float
        Present estimate of each draft's acceptance rate.

    Raises
    ------
    ValueError
        If there is no candidate, or one is neither a plain draft nor a review of one.

    Notes
    -----
    Each step expands the active leaf that is likeliest to be reached (Algorithm 1). An expanded
    leaf is no longer active; as printed, Algorithm 1 never deactivates it and would expand it
    for ever. Siblings of the leaf that are still active are read in the same pass and get one
    child each; the paper leaves open what they get. A step that proposes nothing (a one-shot
    draft that finds no match) leaves the leaf active for the other candidates.

    The default objective "ratio" chooses model, length and width for the most tokens over
    seconds of the whole cycle, drafting so far, what may follow the step and the target's pass
    over the larger tree included, and stops when no step raises it. "printed" is the paper's
    Eq. 5, which leaves the target's pass out: with a cheap bottom draft it always picks that one.

    Estimates of idle candidates do not decay. So that a draft which has become better is
    noticed, a model that was idle long enough reads the text it has missed in one pass, and its
    predictions are compared with what the target wrote (`RouterSettings.audit`); a one-shot
    draft costs next to nothing and is asked in nearly every cycle.

    Lossless whatever it decides: all it sees is the past and tokens already drafted.

    Examples
    --------
    >>> router = DyTC([Draft(1, 5), Draft(2, 10)])
    >>> router.rates
    {1: 0.5, 2: 0.5}
    """

    def __init__(
        self,
        candidates: Sequence[Segment],
        settings: RouterSettings | None = None,
        *,
        profile: Profile | None = None,
    ) -> None:
        self.settings = settings or RouterSettings()
        self.candidates = tuple(Candidate.of(segment) for segment in candidates)
        if not self.candidates:
            raise ValueError("a router needs at least one candidate, got none: give Draft(1, 5)")
        self.learner = Learner(self.candidates, self.settings, profile)

    @property
    def rates(self) -> dict[int, float]:
        """Present estimates of the acceptance rates, by draft."""
        return {model: estimate.rate for model, estimate in self.learner.rates.items()}

    @property
    def max_size(self) -> int:
        """Most nodes of a tree, root included."""
        return self.settings.max_size

    @property
    def max_depth(self) -> int:
        """Most tokens that can be accepted."""
        return self.settings.max_depth

    @property
    def drafts(self) -> tuple[Segment, ...]:
        """All candidates."""
        return tuple(c.segment for c in self.candidates)

    def grow(self, decoder: TreeDecoder) -> None:
        """Expand leaf after leaf while that pays."""
        growing = _Growing(self, decoder, self.learner.begin(decoder))
        while growing.active and decoder.tree.size < self.settings.max_size:
            if not growing.step():
                break

    def learn(self, decoder: TreeDecoder, verdict: Verdict) -> None:
        """See what became of the tree: acceptance of its tokens, seconds of all passes."""
        self.learner.learn(verdict)


class _Growing:
    """One tree while it grows."""

    def __init__(self, router: DyTC, decoder: TreeDecoder, aside: float) -> None:
        self.settings, self.candidates = router.settings, router.candidates
        self.learner, self.decoder, self.tree = router.learner, decoder, decoder.tree
        self.aside = aside  # seconds of this cycle that were not drafting
        self.active = {0}
        self.reach = {0: 1.0}  # path acceptance of every node of the tree
        self.taken: dict[int, float] = {}  # node -> chance that one of its children is accepted
        self.refused: set[tuple[int, Candidate]] = set()  # proposed nothing at this leaf

    def step(self) -> bool:
        """Expand the leaf that is likeliest to be reached; False: verify now."""
        leaf = max(self.active, key=lambda node: (self.reach[node], -node))
        beside = self.tree.offers[self.tree.parents[leaf]] if leaf else []
        siblings = sorted({offer.node for offer in beside} & self.active - {leaf})
        left = [c for c in self.candidates if (leaf, c) not in self.refused]
        choice = self.choose(leaf, siblings, left)
        if choice is None:
            self.active.discard(leaf)
            return len(left) < len(self.candidates)  # else no other leaf pays: none is likelier
        self.decoder.steps.append(str(choice))
        if not self.expand(leaf, siblings, choice):
            self.refused.add((leaf, choice.candidate))
        return True

    def choose(self, leaf: int, siblings: list[int], left: list[Candidate]) -> Choice | None:
        """The best step at `leaf` among the candidates `left`."""
        settings = self.settings
        here = Leaf(
            self.reach[leaf],
            tuple(self.reach[node] for node in siblings),
            self.tree.size,
            settings.max_size,
            settings.max_depth - self.tree.depths[leaf],
            sum(self.reach.values()),
            sum(one.seconds for one in self.decoder.cycle_passes) - self.aside,
        )
        if settings.objective == "printed":
            width, t_min = settings.width, settings.t_min
            return best_printed(left, here, self.learner, self.learner.used[-1], width, t_min)
        return best_ratio(left, here, self.learner, settings.width, self.candidates)

    def expand(self, leaf: int, siblings: list[int], choice: Choice) -> bool:
        """Take the step; False if it proposed nothing."""
        one = choice.candidate
        if isinstance(one.segment, Review):
            self.review(leaf, choice, one.segment)
        elif self.learner.one_shot(one.model):
            found = self.decoder.call(leaf, Draft(one.model, choice.length))
            self.learner.looked_up(one.model, leaf, found[0].token if found else None)
            if not found:
                return False
            self.add_chain(leaf, found, 1)
        else:
            self.draft([leaf, *siblings], choice)
        return True

    def draft(self, front: list[int], choice: Choice) -> None:
        """Passes of one model: the first node of `front` gets `width` children, others one."""
        model = choice.candidate.model
        for _ in range(choice.length):
            room = self.settings.max_size - self.tree.size
            if room < 1 or not front:  # no front: the vocabulary is used up
                break
            width = min(choice.width, room)
            front = front[: 1 + room - width]
            self.learner.drafted(model, front[0])
            widths = [width] + [1] * (len(front) - 1)
            found = self.decoder.extend(model, front, widths)
            for parent, children in zip(front, found, strict=True):
                self.add(model, parent, children)
            front = [node for node in dict.fromkeys(found[0]) if node in self.active]

    def review(self, node: int, choice: Choice, segment: Review) -> None:
        """Rounds of a vertical cascade, with runners-up of the reviewer's."""
        one = choice.candidate
        for _ in range(choice.length):
            self.learner.drafted(one.model, node)
            proposed = self.decoder.call(node, replace(segment, rounds=1))
            judged = self.decoder.last_inner
            self.learner.reviewed(one.model, int(one.inner or 0), judged, len(proposed) - 1)
            node = self.add_chain(node, proposed, choice.width)

    def add_chain(self, node: int, chain: Sequence[Proposed], width: int) -> int:
        """Offer a chain below `node`; return its last node."""
        for child in self.decoder.attach(node, chain, width):
            runners_up = [offer.node for offer in self.tree.offers[node]]
            self.add(chain[0].model, node, [child, *runners_up])
            node = child
        return node

    def add(self, model: int, parent: int, children: Sequence[int]) -> None:
        """Give new children of `parent` their path acceptance; they are leaves, it is not."""
        self.active.discard(parent)  # as printed, Algorithm 1 leaves it active
        for rank, child in enumerate(dict.fromkeys(children)):
            left = 1.0 - self.taken.get(parent, 0.0)
            if rank == 0:
                rate = self.learner.token_rate(model, parent, self.tree.tokens[child])
            else:
                rate = self.learner.second(model)
            self.taken[parent] = 1.0 - left * (1.0 - rate)
            self.reach[child] = self.reach[parent] * left * rate
            self.active.add(child)
