"""The tree decoder: drafts fill a tree, the target reads it in one pass, caches are compacted."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, Protocol

from torch import Tensor

from cscalc.cascade import Review, Segment, walk, wants_call
from validate.chance import Chance
from validate.models import Models
from validate.sampling import Law, PointLaw, Sampling
from validate.tree import TokenTree
from validate.tree_session import start_tree
from validate.tree_verify import check_children, draw_children, likeliest, verify_tree

Costs = Callable[[int, int], float]  # model and positions of a pass -> its seconds


class Read(NamedTuple):
    """What a model says of the token after one node."""

    law: Law  # as sampled from
    logits: Tensor  # shape (vocab_size,)


class Passed(NamedTuple):
    """One pass (a call, for a one-shot draft): who, over how many positions, where, how long."""

    model: int
    positions: int
    context: int
    seconds: float


class Proposed(NamedTuple):
    """A token in front of a reviewer."""

    token: int
    law: Law
    model: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the target made of a tree.

    Attributes
    ----------
    path : list of int
        The root and the accepted nodes.
    laws : dict of int -> Law
        The target's law after every node of the path.
    passes : list of Passed
        All passes of the cycle, the target's last.
    """

    path: list[int]
    laws: dict[int, Law]
    passes: list[Passed]


class Grower(Protocol):
    """Decides what the tree of a cycle holds: a fixed shape, or a router."""

    @property
    def max_size(self) -> int:
        """Most nodes, root included."""
        ...

    @property
    def max_depth(self) -> int:
        """Most tokens that can be accepted; what a review may overshoot included."""
        ...

    @property
    def drafts(self) -> tuple[Segment, ...]:
        """Every draft and review in use."""
        ...

    def grow(self, decoder: "TreeDecoder") -> None:
        """Fill `decoder.tree` through the decoder's `extend`, `attach` and `call`."""
        ...

    def learn(self, decoder: "TreeDecoder", verdict: Verdict) -> None:
        """See what became of the tree."""
        ...


_serials = count()


class TreeDecoder:
    """One sequence being decoded with trees: the text, its tree, a session of every model.

    Attributes
    ----------
    serial : int
        No two decoders have the same.
    text : list of int
    tree : TokenTree
        Of the current cycle.
    steps : list of str
        What the grower did in the current cycle, for the record.
    """

    def __init__(
        self,
        models: Models,
        chance: Chance,
        sampling: Sampling,
        *,
        drafts: Sequence[Segment],
        children: str = "distinct",
        costs: Costs | None = None,
    ) -> None:
        self.serial = next(_serials)
        self.models = models
        self.chance = chance
        self.sampling = sampling
        self.children = "top" if sampling.temperature == 0.0 else check_children(children)
        self.text: list[int] = []
        self.tree = TokenTree(0)
        self.steps: list[str] = []
        used = sorted({0, *(segment.model for segment in walk(tuple(drafts)))})
        self.sessions = {m: start_tree(models.language[m]) for m in used if m in models.language}
        self.passes = dict.fromkeys(used, 0)
        self.seconds = dict.fromkeys(used, 0.0)
        self.cycle_passes: list[Passed] = []
        self.last_inner = 0  # proposals that the latest review judged
        self._known: dict[int, dict[int, Read]] = {}
        self._costs = costs

    def prefill(self, prompt: Sequence[int]) -> None:
        """Read the prompt with all models, all but its last token."""
        self.text = list(prompt)
        for session in self.sessions.values():
            session.prefill(self.text[:-1])

    def cycle(self, grower: Grower) -> tuple[list[int], TokenTree]:
        """Run one cycle; return the emitted tokens and the tree."""
        self.tree = tree = TokenTree(self.text[-1])
        self._known = {model: {} for model in self.sessions}
        self.cycle_passes, self.steps = [], []
        grower.grow(self)
        nodes = tree.nodes
        laws = dict(zip(nodes, (read.law for read in self.read(0, nodes)), strict=True))
        path, token = verify_tree(self.chance, tree, laws.__getitem__)
        kept = {node: laws[node] for node in path}
        emitted = [*(tree.tokens[node] for node in path[1:]), token]
        for session in self.sessions.values():
            session.commit(path)
        self.text += emitted
        grower.learn(self, Verdict(path, kept, self.cycle_passes))
        return emitted, tree

    def knows(self, model: int, node: int) -> bool:
        """Whether `model` has read `node` in this cycle, so that its law there is free."""
        return node in self._known.get(model, {})

    def confidence(self, model: int, node: int, token: int) -> float:
        """Probability at temperature 1 that `model`, which knows `node`, gives `token` there."""
        return float(self._known[model][node].logits.softmax(-1)[token])

    def read(self, model: int, nodes: Sequence[int]) -> list[Read]:
        """What `model` says after each of `nodes`, in one pass if any is new."""
        known = self._known[model]
        missing = [node for node in nodes if node not in known]
        if missing:
            began = self.clock()
            read, logits = self.sessions[model].read(self.text, self.tree, missing)
            self._passed(model, len(read), began)
            texts = ([*self.text, *self.tree.path(node)] for node in read)
            known.update(zip(read, self._rows(logits, texts), strict=True))
        return [known[node] for node in nodes]

    def missed(self, model: int) -> int:
        """Count tokens of the text that `model` has not read, but for the last."""
        return self.sessions[model].missed(self.text)

    def catch_up(self, model: int) -> tuple[int, list[Read]]:
        """Read what `model` missed; the place of a token, and what it says from there on.

        Row i is about ``text[place + i]``, given all tokens before it.
        """
        missed, began = self.missed(model), self.clock()
        logits = self.sessions[model].catch_up(self.text)
        self._passed(model, missed, began)
        place = len(self.text) - missed
        texts = (self.text[: place + i] for i in range(missed))
        return place, list(self._rows(logits, texts))

    def _rows(self, logits: Tensor, texts: Iterable[list[int]]) -> Iterator[Read]:
        if self.sampling.repetition_penalty == 1.0:
            return map(Read, self.sampling.law(logits), logits)
        return (
            Read(
                self.sampling.law(row[None], text)[0], self.sampling.penalised(row[None], text)[0]
            )
            for row, text in zip(logits, texts, strict=True)
        )

    def extend(self, model: int, nodes: Sequence[int], widths: Sequence[int]) -> list[list[int]]:
        """Offer children of `nodes` by an autoregressive draft, all in one pass.

        Parameters
        ----------
        model : int
        nodes, widths : sequence of int
            Nodes of the tree, and how many children each of them gets.

        Returns
        -------
        list of list of int
            The children of each node; two that are the same token are one node.
        """
        found = []
        for node, width, read in zip(nodes, widths, self.read(model, nodes), strict=True):
            tried = [self.tree.tokens[offer.node] for offer in self.tree.offers[node]]
            drawn = draw_children(self.chance, self.children, read.law, read.logits, width, tried)
            found.append([self.tree.offer(node, token, law, model) for token, law in drawn])
        return found

    def attach(self, node: int, chain: Sequence[Proposed], width: int = 1) -> list[int]:
        """Offer a chain below `node`, and runners-up beside its tokens.

        Parameters
        ----------
        node : int
        chain : sequence of Proposed
            From `call` or `repeat` at this node.
        width : int
            Offers at each node of the chain: the next likeliest (or next drawn) ones of the
            model that wrote the chain's token; a one-shot draft has none.

        Returns
        -------
        list of int
            The chain's nodes.
        """
        nodes = []
        for token, law, model in chain:
            parent, node = node, self.tree.offer(node, token, law, model)
            nodes.append(node)
            if width > 1 and model in self._known:
                self.extend(model, [parent], [width - 1])
        return nodes

    def call(self, node: int, segment: Segment) -> list[Proposed]:
        """Tokens that one call of `segment` proposes after `node`, offered to nobody yet."""
        if isinstance(segment, Review):
            inner: list[Proposed] = []
            for part in segment.drafts:
                inner += self.repeat(node, part, inner)
            return self._review(segment.model, node, inner)
        if segment.model in self.models.one_shot:
            began = self.clock()
            draft = self.models.one_shot[segment.model]
            found = draft.propose([*self.text, *self.tree.path(node)], segment.length)
            self._passed(segment.model, 1, began)
            size = self.models.vocab_size
            return [Proposed(token, PointLaw(token, size), segment.model) for token in found]
        proposed: list[Proposed] = []
        for _ in range(segment.length):
            law = self._draft_law(segment.model, self.read(segment.model, [node])[0])
            token = self.chance.draw(law)
            proposed.append(Proposed(token, law, segment.model))
            node = self.tree.child(node, token)
        return proposed

    def repeat(self, node: int, segment: Segment, before: Sequence[Proposed]) -> list[Proposed]:
        """Tokens of all calls of `segment`, with `before` between it and `node`."""
        proposed: list[Proposed] = []
        calls = 0
        while wants_call(segment, calls, len(before) + len(proposed)):
            tokens = [token for token, _, _ in [*before, *proposed]]
            found = self.call([node, *self.tree.after(node, tokens)][-1], segment)
            proposed += found
            calls += 1
            if not found:  # a one-shot draft that has nothing to propose
                break
        return proposed

    def _draft_law(self, model: int, read: Read) -> Law:
        if self.children != "top":
            return read.law
        return PointLaw(likeliest(read.logits, 1)[0], self.models.vocab_size)

    def _review(self, reviewer: int, node: int, inner: list[Proposed]) -> list[Proposed]:
        """Longest accepted prefix of `inner` after `node`, and one token of the reviewer's."""
        scratch = TokenTree(0)  # the review is the verification of a chain
        below = 0
        for token, law, model in inner:
            below = scratch.offer(below, token, law, model)
        nodes = [node, *self.tree.after(node, [token for token, _, _ in inner])]
        laws = [self._draft_law(reviewer, read) for read in self.read(reviewer, nodes)]
        self.last_inner = len(inner)
        path, own = verify_tree(self.chance, scratch, laws.__getitem__)
        tokens = [*(scratch.tokens[i] for i in path[1:]), own]
        return [Proposed(token, laws[i], reviewer) for i, token in enumerate(tokens)]

    def _passed(self, model: int, positions: int, began: float) -> None:
        seconds = self.clock() - began
        if self._costs is not None:
            seconds = self._costs(model, positions)
        self.passes[model] += 1
        self.seconds[model] += seconds
        self.cycle_passes.append(Passed(model, positions, len(self.text), seconds))

    def clock(self) -> float:
        """Seconds, once the device is idle."""
        self.models.synchronize()
        return time.perf_counter()
