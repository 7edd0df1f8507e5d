"""Children of a node, and the target's verdict on a tree; the output law is the target's own.

At each node the offers are tried in turn: offer i, drawn from q_i, is kept with probability
min(1, R_i / q_i), where R_1 is the target's law and R_(i+1) is (R_i - q_i)+ normalised; if none
is kept, the token comes from the last residual. This is recursive rejection: SpecInfer (Miao et
al., ASPLOS 2024, arXiv:2305.09781); without replacement as in Sequoia (Chen et al., NeurIPS 2024,
arXiv:2402.12374).

It is lossless as long as q_i is the law of offer i *given that the earlier offers here are
refused*, and no offer is taken back once its token is known. What is offered where, how many and
by whom may depend on everything drawn so far, below other offers too.
"""

from collections.abc import Callable, Collection
from typing import Literal

import torch
from torch import Tensor

from cscalc._checks import check_choice
from validate.chance import Chance
from validate.sampling import DenseLaw, Law, PointLaw
from validate.tree import TokenTree
from validate.verify import accept_probability, correction

Children = Literal["distinct", "independent", "top"]
RULES = ("distinct", "independent", "top")


def check_children(children: str) -> str:
    """Return `children`, or raise ValueError."""
    return str(check_choice("children", children, RULES))


def draw_children(
    chance: Chance,
    children: str,
    law: Law,
    scores: Tensor,
    count: int,
    tried: Collection[int] = (),
) -> list[tuple[int, Law]]:
    """Draw `count` tokens to offer after one node, each with the law it was drawn from.

    Parameters
    ----------
    chance : Chance
    children : {"distinct", "independent", "top"}
        Drawn without replacement; drawn independently, so that two may be equal; or the
        likeliest ones, nothing drawn.
    law : Law
        The draft's law there.
    scores : Tensor, shape (vocab_size,)
        The draft's logits there, for "top".
    count : int
        At most so many; fewer if the vocabulary is used up.
    tried : collection of int
        Tokens offered there already, which are not offered again unless independent.

    Returns
    -------
    list of (int, Law)

    Examples
    --------
    >>> import torch
    >>> from validate.chance import Sampled
    >>> law = DenseLaw(torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64))
    >>> chance = Sampled(torch.Generator().manual_seed(0))
    >>> [token for token, _ in draw_children(chance, "top", law, law.dense(), 2)]
    [0, 2]
    >>> token, left = draw_children(chance, "distinct", law, law.dense(), 1, tried=[0])[0]
    >>> left.dense()
    tensor([0.0000, 0.4000, 0.6000], dtype=torch.float64)
    """
    if children == "independent":
        return [(chance.draw(law), law) for _ in range(count)]
    used = list(tried)
    count = min(count, law.vocab_size - len(used))
    if children == "top":
        return [(t, PointLaw(t, law.vocab_size)) for t in likeliest(scores, count, used)]
    drawn = []
    for _ in range(count):
        left = without(law, used)
        token = chance.draw(left)
        drawn.append((token, left))
        used.append(token)
    return drawn


def likeliest(scores: Tensor, count: int, skipped: Collection[int] = ()) -> list[int]:
    """Tokens of the `count` highest scores, none of them in `skipped`; ties to the lower one."""
    if count == 1 and not skipped:
        return [int(scores.argmax())]
    most = min(count + len(skipped), scores.shape[-1])
    least = scores.topk(most).values[-1]
    found = (scores >= least).nonzero()[:, 0]
    order = found[scores[found].sort(descending=True, stable=True).indices].tolist()
    return [token for token in order if token not in skipped][:count]


def without(law: Law, tried: Collection[int]) -> Law:
    """`law` given that its token is none of `tried`; uniform over the rest if they have no mass.

    Raises
    ------
    ValueError
        If every token has been tried.
    """
    if not tried:
        return law
    if len(set(tried)) >= law.vocab_size:
        raise ValueError(f"all {law.vocab_size} tokens are tried, so none is left to offer")
    used = torch.tensor(sorted(set(tried)))
    probs = law.dense().clone()
    probs[used] = 0.0
    mass = probs.sum(dtype=torch.float64)
    if not mass > 0.0:
        probs = torch.ones_like(probs)
        probs[used] = 0.0
        mass = probs.sum(dtype=torch.float64)
    return DenseLaw(probs / mass.to(probs.dtype))


def verify_tree(
    chance: Chance, tree: TokenTree, law_at: Callable[[int], Law]
) -> tuple[list[int], int]:
    """Walk down the tree along what the target accepts.

    Parameters
    ----------
    chance : Chance
    tree : TokenTree
    law_at : callable
        Node to the target's law of the token after it; asked for along the path only.

    Returns
    -------
    path : list of int
        The root and the accepted nodes.
    token : int
        The extra token after the last of them.
    """
    path = [0]
    while True:
        own = law_at(path[-1])
        for offer in tree.offers[path[-1]]:
            token = tree.tokens[offer.node]
            if chance.coin(accept_probability(own, offer.law, token)):
                path.append(offer.node)
                break
            own = correction(own, offer.law)
        else:
            return path, chance.draw(own)
