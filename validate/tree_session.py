"""One sequence and a token tree behind it, read by a model: all new nodes in one pass."""

from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from validate.cache import GrowingCache
from validate.models import LanguageModel, near, refused
from validate.sampling import PointLaw
from validate.static_cache import layer_kinds
from validate.tree import TokenTree


class TreeSession(Protocol):
    """One text that a model has read, all but its last token, and nodes of a tree behind it."""

    positions: int  # tokens ever passed through the model, for counting

    def prefill(self, tokens: Sequence[int]) -> None:
        """Read the text, all but its last token."""
        ...

    def read(
        self, text: Sequence[int], tree: TokenTree, nodes: Sequence[int]
    ) -> tuple[list[int], Tensor]:
        """Read `nodes` and what they need in one pass.

        Parameters
        ----------
        text : sequence of int
            Its last token is the tree's root.
        tree : TokenTree
        nodes : sequence of int
            Not read before in this cycle.

        Returns
        -------
        read : list of int
            The nodes of the pass: `nodes` and their unread ancestors, parents first.
        logits : Tensor, shape (len(read), vocab_size)
            What follows each of them.
        """
        ...

    def commit(self, path: Sequence[int]) -> None:
        """Keep the nodes of `path`, root first, as text; forget all others."""
        ...

    def missed(self, text: Sequence[int]) -> int:
        """Count what was written but not read, but for the last token."""
        ...

    def catch_up(self, text: Sequence[int]) -> Tensor:
        """Read the missed tokens in one pass; logits after each of them, (missed, vocab)."""
        ...


def start_tree(model: LanguageModel) -> TreeSession:
    """Return a new, empty sequence of `model` for trees.

    A transformers model reads a tree in one pass through a mask; any other model reads it path
    by path, which gives the same logits.

    Raises
    ------
    ValueError
        If a transformers model does not heed the mask (found out by one small trial).
    """
    if not hasattr(model, "module"):
        return PathSession(model)
    check_tree_attention(model)
    return MaskedSession(model)


class PathSession:
    """Reads a tree path by path through the model's plain session; counts as one pass would."""

    def __init__(self, model: LanguageModel) -> None:
        self._session = model.start()
        self._slots: list[int] = []
        self._length = 0  # text read
        self._counted = 0  # text that a session with a mask would have read
        self.positions = 0

    def prefill(self, tokens: Sequence[int]) -> None:
        if tokens:
            self._session.extend(tokens, 1)
        self._length = self._counted = len(tokens)
        self.positions += len(tokens)

    def read(
        self, text: Sequence[int], tree: TokenTree, nodes: Sequence[int]
    ) -> tuple[list[int], Tensor]:
        new = tree.unread(nodes, self._slots)
        trunk = len(text) - 1
        self.positions += trunk - self._counted + len(new)
        self._counted = trunk
        if trunk > self._length:
            self._session.extend(text[self._length : trunk], 1)
            self._length = trunk
        rows = []
        for node in new:
            rows.append(self._session.extend([text[-1], *tree.path(node)], 1))  # (1, vocab)
            self._session.rewind(trunk)
        self._slots += new
        return new, torch.cat(rows)

    def missed(self, text: Sequence[int]) -> int:
        return len(text) - 1 - self._counted

    def catch_up(self, text: Sequence[int]) -> Tensor:
        trunk, missed = len(text) - 1, self.missed(text)
        logits = self._session.extend(text[self._length : trunk], missed)
        self._length = self._counted = trunk
        self.positions += missed
        return logits

    def commit(self, path: Sequence[int]) -> None:
        kept = list(takewhile(set(self._slots).__contains__, path))
        self._counted += len(kept)  # read again with the text, but counted once
        self._slots = []


class MaskedSession:
    """A sequence of a transformers model; a tree is one pass with a 4-D mask and position ids.

    The cache holds the text, then nodes of the tree in the order in which they were read.
    """

    def __init__(self, model: Any) -> None:
        self._module = model.module
        self._device: torch.device = model.device
        self._dtype: torch.dtype = model.dtype
        self._windows = layer_windows(self._module.config.get_text_config(), model.name)
        self._cache = GrowingCache()
        self._length = 0
        self._slots: list[int] = []
        self.positions = 0

    @torch.inference_mode()
    def prefill(self, tokens: Sequence[int]) -> None:
        if tokens:
            self._forward(list(tokens), None, None, 1)
            self._length = len(tokens)

    @torch.inference_mode()
    def read(
        self, text: Sequence[int], tree: TokenTree, nodes: Sequence[int]
    ) -> tuple[list[int], Tensor]:
        new = tree.unread(nodes, self._slots)
        trunk = len(text) - 1
        tail = list(text[self._length : trunk])  # text that others wrote
        tokens = tail + [tree.tokens[node] for node in new]
        places = [*range(self._length, trunk), *(trunk + tree.depths[node] for node in new)]
        if self._is_chain(tree, new):
            logits = self._forward(tokens, None, None, len(new))
        else:
            mask = self._mask(tree, new, trunk, places)
            logits = self._forward(tokens, mask, places, len(new))
        self._length = trunk
        self._slots += new
        return new, logits

    def missed(self, text: Sequence[int]) -> int:
        return len(text) - 1 - self._length

    @torch.inference_mode()
    def catch_up(self, text: Sequence[int]) -> Tensor:
        tail = list(text[self._length : len(text) - 1])
        logits = self._forward(tail, None, None, len(tail))
        self._length = len(text) - 1
        return logits

    @torch.inference_mode()
    def commit(self, path: Sequence[int]) -> None:
        slot = {node: i for i, node in enumerate(self._slots)}
        kept = [slot[node] for node in takewhile(slot.__contains__, path)]
        if self._slots:
            self._cache.compact(self._length, kept)
        self._length += len(kept)
        self._slots = []

    def _is_chain(self, tree: TokenTree, new: list[int]) -> bool:
        """Whether every new node sees all before it, so that the model's own mask will do."""
        order = [*self._slots, *new]
        return all(tree.parents[b] == a for a, b in pairwise(order))

    def _mask(self, tree: TokenTree, new: list[int], trunk: int, places: list[int]) -> Any:
        """Additive mask, shape (1, 1, tail + new, all), or one for each kind of layer."""
        tail = trunk - self._length  # text that is read with the tree
        rows, columns = tail + len(new), trunk + len(self._slots) + len(new)
        sees = np.zeros((rows, columns), dtype=np.bool_)
        sees[:tail, :trunk] = np.tri(tail, trunk, self._length, dtype=np.bool_)
        sees[tail:, :trunk] = True
        sees[tail:, trunk:] = tree.mask(self._slots, new)
        masks = {}
        for kind, window in self._windows.items():
            allowed = sees
            if window is not None:
                here = [*range(trunk), *(trunk + tree.depths[n] for n in [*self._slots, *new])]
                allowed = sees & (np.array(here)[None] > np.array(places)[:, None] - window)
            bias = torch.zeros((rows, columns), dtype=self._dtype)
            bias.masked_fill_(torch.from_numpy(~allowed), torch.finfo(self._dtype).min)
            masks[kind] = bias.to(self._device)[None, None]
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _forward(self, tokens: list[int], mask: Any, places: list[int] | None, n: int) -> Tensor:
        more = {}
        if mask is not None:
            more = {
                "attention_mask": mask,
                "position_ids": torch.tensor([places], device=self._device),
            }
        ids = torch.tensor([tokens], dtype=torch.int64, device=self._device)  # (1, new)
        output = self._module(
            input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=n, **more
        )
        self.positions += len(tokens)
        logits: Tensor = output.logits[0]
        return logits


def layer_windows(config: Any, name: str) -> dict[str, int | None]:
    """Kinds of attention in a model, and how many positions each sees; None: all.

    Raises
    ------
    ValueError
        If a layer is neither full nor sliding-window attention.
    """
    known = {"full_attention": None, "sliding_attention": getattr(config, "sliding_window", None)}
    kinds = sorted(set(layer_kinds(config)))
    if any(getattr(c, "alibi", False) for c in (config, getattr(config, "attn_config", None))):
        kinds = ["alibi"]  # Falcon, MPT; half precision would hide in a trial that it is wrong
    for kind in kinds:
        if kind not in known:
            raise ValueError(
                f"{name} has layers of {kind}, which read neither token trees nor texts of other "
                "lengths side by side: decode one text at a time with a cascade"
            )
    return {kind: known[kind] for kind in kinds}


_checked: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()


def check_tree_attention(model: Any) -> None:
    """Raise ValueError unless `model` reads a small tree as it reads the tree's paths."""
    if model.module in _checked:
        return
    text = [i % model.vocab_size for i in range(1, 5)]
    tree = TokenTree(text[-1])
    ends = []
    for tokens in ([5, 6], [7, 8]):
        node = 0
        for token in tokens:
            law = PointLaw(token % model.vocab_size, model.vocab_size)
            node = tree.offer(node, law.token, law, 0)
        ends.append(node)
    refusal = (
        f"{model.name} ({type(model.module).__name__}) does not read token trees through "
        "transformers' 4-D attention mask: decode it with a cascade, not a tree"
    )
    session = MaskedSession(model)  # refuses layers that it knows to be of another kind
    with refused(refusal):
        session.prefill(text[:2])
        nodes, logits = session.read(text, tree, tree.nodes)
    for end in ends:
        plain = model.start().extend([*text, *tree.path(end)], 1)
        if not near(logits[nodes.index(end)][None], plain, model.dtype):
            raise ValueError(refusal)
    _checked[model.module] = True
