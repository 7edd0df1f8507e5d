"""How reviewers judge and drafts stop: lossless by default, lenient or deferring where asked.

A rule gives the law that a reviewer's tokens follow. Lossless: its own, p. Deferring: a mixture
pi(p, q) of its own law and that of the one draft in front of it. Lenient: what becomes of a
draft's law q when a token is kept with probability min(1, f p / q); only for inner reviews,
whose law need only be known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cscalc._checks import check_number
from cscalc.cascade import Cascade, Review, Segment, walk
from cscalc.theory.deferral import DeferralRule
from cscalc.theory.lenience import Lenience
from validate.models import Models
from validate.sampling import DenseLaw, Law


@dataclass(frozen=True)
class Rules:
    """Which reviewers are lenient or defer, and which drafts stop early.

    Attributes
    ----------
    lenience : dict of int -> Lenience
        For inner reviewers; a one-shot draft's tokens are always reviewed strictly
        (CS Drafting, arXiv:2312.11462, appendix B).
    deferral : dict of int -> DeferralRule
        For any reviewer with exactly one autoregressive draft or review in front of it. With
        model 0 here the output law is no longer the target's but the rule's.
    confidence : dict of int -> float
        A draft stops after a token to which it gives less than this probability, at
        temperature 1; in (0, 1].

    Examples
    --------
    >>> Rules().lossless
    True
    """

    lenience: Mapping[int, Lenience] = field(default_factory=dict)
    deferral: Mapping[int, DeferralRule] = field(default_factory=dict)
    confidence: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for model, value in self.lenience.items():
            if not isinstance(value, Lenience):
                raise TypeError(
                    f"lenience of model {model} must be a Lenience, got {value!r}: write "
                    "Lenience.cs_drafting(2.0) or Lenience.leviathan(0.5)"
                )
        for model, rule in self.deferral.items():
            if not hasattr(rule, "law"):
                raise TypeError(
                    f"the deferral rule of model {model} must be one of cscalc.theory.deferral "
                    f"or token_deferral, got {rule!r}"
                )
        for model, value in self.confidence.items():
            check_number(f"confidence of model {model}", value, least=0.0, most=1.0)

    @property
    def lossless(self) -> bool:
        """Whether the output law is the target's."""
        return 0 not in self.deferral

    def check(self, cascade: Cascade, models: Models) -> None:
        """Raise ValueError if a rule does not fit the cascade."""
        in_front: dict[int, list[tuple[Segment, ...]]] = {0: [cascade.drafts]}
        drafting = set()
        for segment in walk(cascade.drafts):
            if isinstance(segment, Review):
                in_front.setdefault(segment.model, []).append(segment.drafts)
            else:
                drafting.add(segment.model)
        for model in self.lenience:
            if model == 0:
                raise ValueError(
                    "the target cannot be lenient, for its law would be lost: give lenience to "
                    "an inner reviewer, or use deferral="
                )
            if model not in in_front:
                raise ValueError(f"model {model} has a lenience but reviews nothing: {cascade}")
        for model in self.deferral:
            if model in self.lenience:
                raise ValueError(f"model {model} cannot both defer and be lenient: choose one")
            for drafts in in_front.get(model, [()]):
                self._check_front(model, drafts, models)
        for model in self.confidence:
            if model not in drafting or model in models.one_shot:
                raise ValueError(
                    f"model {model} has a confidence but does not draft token by token: {cascade}"
                )

    def _check_front(self, model: int, drafts: tuple[Segment, ...], models: Models) -> None:
        if len(drafts) != 1 or drafts[0].model in models.one_shot:
            raise ValueError(
                f"a deferral rule of model {model} compares two laws, so exactly one "
                f"autoregressive draft or review must stand in front of it, got {drafts}"
            )
        front = drafts[0]
        if isinstance(front, Review) and front.model in self.lenience:
            raise ValueError(
                f"model {front.model} is lenient, so its tokens follow no one law that model "
                f"{model} could defer to: drop its lenience"
            )


def mixed(rule: DeferralRule, own: Law, draft: Law, plain: Tensor, draft_plain: Tensor) -> Law:
    """The law pi that a deferring reviewer's token follows in one context.

    Parameters
    ----------
    rule : DeferralRule
    own, draft : Law
        Of the reviewer and of what stands in front of it, as sampled from.
    plain, draft_plain : Tensor, shape (vocab_size,)
        The same at temperature 1, which the rule compares.
    """
    like = own.dense()
    laws = (_array(x) for x in (plain, draft_plain, like, draft.dense()))
    pi = np.asarray(rule.law(*laws).law)
    return DenseLaw(torch.from_numpy(pi).to(like.device))


def mixed_plain(rule: DeferralRule, plain: Tensor, draft_plain: Tensor) -> Tensor:
    """The law pi at temperature 1, shape (vocab_size,)."""
    pi = np.asarray(rule.law(_array(plain), _array(draft_plain)).law)
    return torch.from_numpy(pi).to(plain.device)


def _array(law: Tensor) -> np.ndarray:
    values = law.double().cpu().numpy()
    return values / values.sum()  # a float32 softmax misses 1 by up to 1e-6
