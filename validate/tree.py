"""A token tree behind a text: what was proposed where, by which law; its mask and positions.

Node 0 is the last token of the text. A node is in the tree once it is offered to the target;
other nodes hold what drafts read among themselves, such as proposals that an inner reviewer
refused. Each context is one node, whichever models read it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from validate.sampling import Law


class Offer(NamedTuple):
    """One token proposed to follow a node.

    Attributes
    ----------
    node : int
        The node of the token; two offers of one token share it.
    law : Law
        What the token was drawn from, given that all earlier offers here are refused.
    model : int
        Who proposed it.
    """

    node: int
    law: Law
    model: int


class TokenTree:
    """Tokens below the last one of a text, as arrays that grow.

    Attributes
    ----------
    tokens, parents, depths : list of int
        Of each node; parents come before their children, node 0 has parent -1 and depth 0.
    offers : list of list of Offer
        What is offered to follow each node, in the order in which it is tried.

    Examples
    --------
    >>> from validate.sampling import PointLaw
    >>> tree = TokenTree(7)
    >>> left, right = (tree.offer(0, token, PointLaw(token, 9), 1) for token in (3, 5))
    >>> deep = tree.offer(left, 8, PointLaw(8, 9), 1)
    >>> tree.parents, tree.depths, tree.path(deep), tree.size
    ([-1, 0, 0, 1], [0, 1, 1, 2], [3, 8], 4)
    >>> tree.mask([], [0, 1, 2, 3]).astype(int).tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 1]]
    """

    def __init__(self, root: int) -> None:
        self.tokens = [root]
        self.parents = [-1]
        self.depths = [0]
        self.offers: list[list[Offer]] = [[]]
        self._offered = [True]
        self._child: dict[tuple[int, int], int] = {}

    def child(self, parent: int, token: int) -> int:
        """Return the node of `token` after `parent`, made if it is new; not offered by that."""
        node = self._child.get((parent, token))
        if node is None:
            node = len(self.tokens)
            self._child[parent, token] = node
            self.tokens.append(token)
            self.parents.append(parent)
            self.depths.append(self.depths[parent] + 1)
            self.offers.append([])
            self._offered.append(False)
        return node

    def after(self, parent: int, tokens: Sequence[int]) -> list[int]:
        """Return the nodes of `tokens` one after another behind `parent`."""
        nodes = []
        for token in tokens:
            parent = self.child(parent, token)
            nodes.append(parent)
        return nodes

    def offer(self, parent: int, token: int, law: Law, model: int) -> int:
        """Offer `token` to follow `parent`; return its node.

        Raises
        ------
        ValueError
            If the parent is not offered itself, so that nothing below it can be accepted.
        """
        if not self._offered[parent]:
            raise ValueError(f"node {parent} is not in the tree: offer it before what follows it")
        node = self.child(parent, token)
        self._offered[node] = True
        self.offers[parent].append(Offer(node, law, model))
        return node

    def offered(self, node: int) -> bool:
        """Whether the target is asked about `node`; true for the root."""
        return self._offered[node]

    @property
    def nodes(self) -> list[int]:
        """The root and all offered nodes: the positions of the target's pass."""
        return [node for node, offered in enumerate(self._offered) if offered]

    @property
    def size(self) -> int:
        """Number of `nodes`."""
        return sum(self._offered)

    @property
    def depth(self) -> int:
        """Most tokens that can be accepted."""
        return max(self.depths[node] for node in self.nodes)

    def path(self, node: int) -> list[int]:
        """Tokens between the root and `node`, that one included."""
        tokens = []
        while node > 0:
            tokens.append(self.tokens[node])
            node = self.parents[node]
        return tokens[::-1]

    def unread(self, nodes: Sequence[int], read: Sequence[int]) -> list[int]:
        """`nodes` and their ancestors that are not in `read`, parents first."""
        known, missing = set(read), set()
        for node in nodes:
            while node >= 0 and node not in known and node not in missing:
                missing.add(node)
                node = self.parents[node]
        return sorted(missing)

    def mask(self, read: Sequence[int], nodes: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Who sees whom: itself and its ancestors.

        Parameters
        ----------
        read, nodes : sequence of int
            Nodes that are cached, and nodes of the pass; together they hold all ancestors of
            `nodes`.

        Returns
        -------
        ndarray of bool, shape (len(nodes), len(read) + len(nodes))
        """
        column = {node: i for i, node in enumerate([*read, *nodes])}
        mask = np.zeros((len(nodes), len(column)), dtype=np.bool_)
        for row, node in enumerate(nodes):
            while node >= 0:
                mask[row, column[node]] = True
                node = self.parents[node]
        return mask
