"""Decode with token trees: a fixed shape, a cascade with runners-up, or a router (DyTC).

The law of the output is the target's, whatever the tree.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from cscalc._checks import check_int
from cscalc.cascade import Cascade, walk
from validate.chance import Chance, Sampled
from validate.completion import Completion
from validate.decode import check_prompt
from validate.decoder import check_models
from validate.models import Models
from validate.sampling import Sampling
from validate.tree_decoder import Costs, Grower, TreeDecoder
from validate.tree_shape import Nothing


@dataclass(slots=True)
class TreeCompletion(Completion):
    """What one run with trees emitted, and what it took; `reviewed` counts a tree's proposals.

    Attributes
    ----------
    sizes : list of int
        Nodes of each cycle's tree, root included: positions of the target's pass.
    steps : list of list of str
        What the grower chose in each cycle, one entry a step, such as ``"1x3"``.
    """

    sizes: list[int] = field(default_factory=list)
    steps: list[list[str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data, without the tokens."""
        data = Completion.to_dict(self)
        return {**data, "sizes": self.sizes, "steps": self.steps}


def stream_tree(
    tree: Grower,
    models: Models,
    prompt: Sequence[int],
    *,
    generator: torch.Generator | Chance,
    max_tokens: int = 64,
    sampling: Sampling | None = None,
    children: str = "distinct",
    eos: Sequence[int] = (),
    costs: Costs | None = None,
    completion: TreeCompletion | None = None,
) -> Iterator[int]:
    """Yield tokens as cycles emit them; arguments as `generate_tree`.

    `completion`, if given, is filled while tokens are taken.
    """
    prompt = check_prompt(prompt, models, max_tokens)
    room = tree_room(tree, models)
    run = completion if completion is not None else TreeCompletion()
    chance = generator if hasattr(generator, "draw") else Sampled(generator)
    nothing = Nothing()
    fits = len(prompt) + tree.max_depth + 1 <= room  # else no draft reads the prompt at all
    decoder = TreeDecoder(
        models, chance, sampling or Sampling(), drafts=tree.drafts if fits else (),
        children=children, costs=costs,
    )  # fmt: skip
    stop = frozenset(eos)

    began = decoder.clock()
    decoder.prefill(prompt)
    run.prefill_seconds = decoder.clock() - began
    prefilled = {m: session.positions for m, session in decoder.sessions.items()}
    while True:
        if len(decoder.text) >= models.target.max_positions:
            run.finish = "context"
            return
        roomy = fits and len(decoder.text) + tree.max_depth + 1 <= room
        began = time.perf_counter()
        emitted, grown = decoder.cycle(tree if roomy else nothing)
        models.synchronize()
        run.decode_seconds += time.perf_counter() - began
        run.emitted.append(len(emitted))
        run.reviewed.append(grown.size - 1)
        run.sizes.append(grown.size)
        run.steps.append(decoder.steps)
        run.passes, run.seconds = decoder.passes, decoder.seconds
        run.positions = {m: s.positions - prefilled[m] for m, s in decoder.sessions.items()}
        for token in emitted:
            run.tokens.append(token)
            yield token
            if token in stop:
                run.finish = "eos"
                return
            if len(run.tokens) == max_tokens:
                return


def generate_tree(
    tree: Grower,
    models: Models,
    prompt: Sequence[int],
    *,
    generator: torch.Generator | Chance,
    max_tokens: int = 64,
    sampling: Sampling | None = None,
    children: str = "distinct",
    eos: Sequence[int] = (),
    costs: Costs | None = None,
) -> TreeCompletion:
    """Decode one prompt with token trees; the law of the tokens is the target's own.

    Parameters
    ----------
    tree : TreeShape, Comb or DyTC
        What the tree of a cycle holds.
    models : Models
        Target and drafts.
    prompt : sequence of int
        At least one token.
    generator : torch.Generator
        Source of all randomness; one uniform a draw and one a coin.
    max_tokens : int
        Most tokens to emit.
    sampling : Sampling, optional
        Temperature and truncation; default temperature 1.
    children : {"distinct", "independent", "top"}
        How the children of a node are drawn: without replacement (Sequoia), independently
        (SpecInfer), or the likeliest ones; greedy decoding always takes the likeliest ones.
    eos : sequence of int
        Tokens that end the text.
    costs : callable (model, positions) -> seconds, optional
        Stands in for the clock of every pass, for simulated models.

    Returns
    -------
    TreeCompletion
        Tokens, and counts and seconds of what happened.

    Raises
    ------
    ValueError
        If the prompt does not fit, the tree names a model that is not there or is larger than
        the context, or a model cannot read trees.

    Examples
    --------
    >>> import torch
    >>> from cscalc.theory.trees import Tree
    >>> from validate.models import Models, TableModel
    >>> from validate.tree_shape import TreeShape
    >>> table = torch.tensor([[0.0, 5.0, 1.0], [1.0, 0.0, 5.0], [5.0, 1.0, 0.0]])
    >>> models = Models.of(TableModel(table), TableModel(table * 0.5))
    >>> shape = TreeShape(Tree.from_paths([(1,), (2,), (1, 1)]), models=1)
    >>> run = generate_tree(
    ...     shape, models, [0], generator=torch.Generator().manual_seed(0), max_tokens=6,
    ...     sampling=Sampling(temperature=0.0),
    ... )
    >>> run.tokens, run.sizes
    ([1, 2, 0, 1, 2, 0], [4, 4])
    """
    completion = TreeCompletion()
    for _ in stream_tree(
        tree, models, prompt, generator=generator, max_tokens=max_tokens, sampling=sampling,
        children=children, eos=eos, costs=costs, completion=completion,
    ):  # fmt: skip
        pass
    return completion


def tree_room(tree: Grower, models: Models) -> int:
    """Tokens that every model in use can hold.

    Raises
    ------
    ValueError
        If the tree uses a model that is not there, a one-shot model reviews, or a path of the
        tree is longer than the context.
    """
    for segment in tree.drafts:
        check_models(Cascade((segment,)), models)
    used = {0, *(segment.model for segment in walk(tree.drafts))}
    holds = {m: models.language[m].max_positions for m in sorted(used) if m in models.language}
    least = min(holds, key=holds.__getitem__)
    if max(check_int("max_size", tree.max_size, 1), tree.max_depth + 2) > holds[least]:
        raise ValueError(
            f"a tree of {tree.max_size} nodes and {tree.max_depth} levels is larger than the "
            f"context of {models[least].name}, {holds[least]} tokens: make the tree smaller"
        )
    return holds[least]
