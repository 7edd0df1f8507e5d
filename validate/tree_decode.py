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
from validate.chance import Chance, as_chance
from validate.completion import Completion
from validate.decode import check_prompt
from validate.decoder import check_models
from validate.ending import Ending, OnToken, hand_out
from validate.models import Models
from validate.options import TextOptions, takes
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


@takes(TextOptions)
def stream_tree(
    tree: Grower,
    models: Models,
    prompt: Sequence[int],
    *,
    generator: torch.Generator | Chance,
    children: str = "distinct",
    costs: Costs | None = None,
    completion: TreeCompletion | None = None,
    **options: Any,
) -> Iterator[int]:
    """Yield tokens as cycles emit them; arguments as `generate_tree`.

    `completion`, if given, is filled while tokens are taken.
    """
    asked = TextOptions(**options)
    prompt = check_prompt(prompt, models, asked.max_tokens)
    room = tree_room(tree, models)
    run = completion if completion is not None else TreeCompletion()
    chance = as_chance(generator)
    if len(prompt) + tree.max_depth + 1 > room:
        tree = Nothing()  # no draft reads the prompt at all
    decoder = TreeDecoder(
        models, chance, asked.drawn, drafts=tree.drafts, children=children, costs=costs
    )
    return _stream(decoder, tree, room, prompt, run, asked.ending(models))


def _stream(
    decoder: TreeDecoder,
    tree: Grower,
    room: int,
    prompt: Sequence[int],
    run: TreeCompletion,
    ending: Ending,
) -> Iterator[int]:
    models, nothing = decoder.models, Nothing()
    began = decoder.clock()
    decoder.prefill(prompt)
    run.prefill_seconds = decoder.clock() - began
    prefilled = {m: session.positions for m, session in decoder.sessions.items()}
    ended = False
    while not ended:
        if len(decoder.text) >= models.target.max_positions:
            run.finish = "context"
            return
        roomy = len(decoder.text) + tree.max_depth + 1 <= room
        began = time.perf_counter()
        emitted, grown = decoder.cycle(tree if roomy else nothing)
        models.synchronize()
        tokens, ended = ending.take(run, emitted, reviewed=grown.size - 1)
        run.decode_seconds += time.perf_counter() - began
        run.sizes.append(grown.size)
        run.steps.append(decoder.steps)
        run.passes, run.seconds = decoder.passes, decoder.seconds
        run.positions = {m: s.positions - prefilled[m] for m, s in decoder.sessions.items()}
        yield from tokens


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
    stop: Sequence[str] = (),
    costs: Costs | None = None,
    on_token: OnToken | None = None,
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
    stop : sequence of str
        Strings that end the text, kept in it; they need a tokenizer. One that is never
        reached changes nothing.
    costs : callable (model, positions) -> seconds, optional
        Stands in for the clock of every pass, for simulated models.
    on_token : callable, optional
        Called with every token as it is emitted.

    Returns
    -------
    TreeCompletion
        Tokens, and counts and seconds of what happened.

    Raises
    ------
    ValueError
        If the prompt does not fit, the tree names a model that is not there or is larger than
        the context, a model cannot read trees, or a stop string is empty or has no tokenizer.

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
    tokens = stream_tree(
        tree, models, prompt, generator=generator, max_tokens=max_tokens, sampling=sampling,
        children=children, eos=eos, stop=stop, costs=costs, completion=completion,
    )  # fmt: skip
    hand_out(tokens, on_token)
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
