"""Trees of a fixed shape, and cascades with runners-up: what a tree holds in every cycle."""

from dataclasses import dataclass

from cscalc._checks import check_int
from cscalc.cascade import Cascade, Draft, Segment
from cscalc.theory.trees import Tree
from validate.tree_decoder import Proposed, TreeDecoder, Verdict


class Nothing:
    """An empty tree: plain decoding."""

    max_size, max_depth = 1, 0
    drafts: tuple[Segment, ...] = ()

    def grow(self, decoder: TreeDecoder) -> None:
        """Leave the tree as it is."""

    def learn(self, decoder: TreeDecoder, verdict: Verdict) -> None:
        """Learn nothing."""


@dataclass(frozen=True, slots=True)
class TreeShape:
    """A tree of fixed shape, one drafting pass a level (Sequoia, SpecInfer).

    Attributes
    ----------
    tree : cscalc.theory.trees.Tree
        Who has how many children; a node of rank b hangs below its parent's offer b.
    models : int or tuple of int
        The draft of every level, or one draft for all levels; one-shot drafts cannot, for they
        offer one continuation only: use `Comb`.

    Raises
    ------
    ValueError
        If there is not one model for each level.

    Examples
    --------
    >>> shape = TreeShape(Tree.from_paths([(1,), (2,), (1, 1)]), models=1)
    >>> shape.max_size, shape.max_depth, shape.drafts
    (4, 2, (Draft(1, 1), Draft(1, 1)))
    """

    tree: Tree
    models: int | tuple[int, ...]

    def __post_init__(self) -> None:
        for model in (self.models,) if isinstance(self.models, int) else self.models:
            check_int("models", model, least=1)
        if len(self._levels) != self.tree.depth:
            raise ValueError(
                f"models needs one draft for each of {self.tree.depth} levels, got {self.models}"
            )

    @property
    def _levels(self) -> tuple[int, ...]:
        return (self.models,) * self.tree.depth if isinstance(self.models, int) else self.models

    @property
    def max_size(self) -> int:
        """Nodes, root included."""
        return self.tree.size

    @property
    def max_depth(self) -> int:
        """Levels."""
        return self.tree.depth

    @property
    def drafts(self) -> tuple[Segment, ...]:
        """One draft a level."""
        return tuple(Draft(model, 1) for model in self._levels)

    def grow(self, decoder: TreeDecoder) -> None:
        """Draft level by level; a child that repeats a sibling, or has no rank, is left out."""
        level = {0: 0}  # node of the shape -> node of the tree
        for model in self._levels:
            if model in decoder.models.one_shot:
                raise ValueError(
                    f"model {model} ({decoder.models[model].name}) is one-shot, so it cannot "
                    "fill the levels of a tree: use Comb, or an autoregressive draft"
                )
            parents = [node for node in level if self.tree.children(node)]
            widths = [len(self.tree.children(node)) for node in parents]
            at = [level[node] for node in parents]
            below: dict[int, int] = {}
            for parent, found in zip(parents, decoder.extend(model, at, widths), strict=True):
                for child, node in zip(self.tree.children(parent), found, strict=False):
                    if node not in below.values():
                        below[child] = node
            level = below

    def learn(self, decoder: TreeDecoder, verdict: Verdict) -> None:
        """Learn nothing."""


@dataclass(frozen=True, slots=True)
class Comb:
    """A chain drafted by any cascade, with runners-up beside each of its tokens.

    "Tree" of CAS-Spec's Fig. 3 is a comb of one draft, "VC+Tree" a comb of a vertical cascade:
    the runners-up come from the law of the model that wrote the token, which costs no pass.

    Attributes
    ----------
    cascade : Cascade
        What is drafted; each token is in front of the target.
    width : int
        Offers at each node, the chain's own included, >= 1; tokens of one-shot drafts stand
        alone.

    Examples
    --------
    >>> comb = Comb(Cascade((Draft(1, 3),)), width=2)
    >>> comb.max_size, comb.max_depth
    (7, 3)
    """

    cascade: Cascade
    width: int = 1

    def __post_init__(self) -> None:
        check_int("width", self.width, least=1)

    @property
    def max_size(self) -> int:
        """Most nodes, root included."""
        return 1 + self.width * self.cascade.max_length

    @property
    def max_depth(self) -> int:
        """Length of the longest chain."""
        return self.cascade.max_length

    @property
    def drafts(self) -> tuple[Segment, ...]:
        """The cascade's own."""
        return self.cascade.drafts

    def grow(self, decoder: TreeDecoder) -> None:
        """Draft the chain, then the runners-up."""
        chain: list[Proposed] = []
        for segment in self.cascade.drafts:
            chain += decoder.repeat(0, segment, chain)
        decoder.attach(0, chain, self.width)

    def learn(self, decoder: TreeDecoder, verdict: Verdict) -> None:
        """Learn nothing."""
