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
from cscalc.cascade import Cascade, Draft, Review, Segment, walk
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
        for model, lenience in self.lenience.items():
            if not isinstance(lenience, Lenience):
                raise TypeError(
                    f"lenience of model {model} must be a Lenience, got {lenience!r}: write "
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
        in_front = reviewed_by(cascade)
        for model in self.lenience:
            if model == 0:
                raise ValueError(
                    "the target cannot be lenient, for its law would be lost: give lenience to "
                    "an inner reviewer, or use deferral="
                )
            if model not in in_front:
                raise ValueError(f"model {model} has a lenience but reviews nothing in {cascade}")
        for model in self.deferral:
            if model in self.lenience:
                raise ValueError(f"model {model} cannot both defer and be lenient: choose one")
        for model, front in self.fronts(cascade).items():
            if front.model in models.one_shot:
                raise ValueError(
                    f"model {model} cannot defer to model {front.model}, which is one-shot and "
                    "has no law: put an autoregressive draft or a review in front of it"
                )
            if isinstance(front, Review) and front.model in self.lenience:
                raise ValueError(
                    f"model {front.model} is lenient, so its tokens follow no one law that model "
                    f"{model} could defer to: drop its lenience"
                )
        drafting = {s.model for s in walk(cascade.drafts) if isinstance(s, Draft)}
        for model in self.confidence:
            if model not in drafting or model in models.one_shot:
                raise ValueError(
                    f"model {model} has a confidence but does not draft token by token in "
                    f"{cascade}"
                )

    def fronts(self, cascade: Cascade) -> dict[int, Segment]:
        """The one segment in front of each deferring reviewer.

        Raises
        ------
        ValueError
            If there is none, there are several, or they do not all follow one law.
        """
        in_front = reviewed_by(cascade)
        fronts = {}
        for model in self.deferral:
            if model not in in_front:
                raise ValueError(f"model {model} has a deferral rule but reviews nothing")
            for drafts in in_front[model]:
                if len(drafts) != 1:
                    raise ValueError(
                        f"a deferral rule of model {model} compares its law with one other, so "
                        f"exactly one draft or review must stand in front of it, got {drafts}"
                    )
            kinds = {(d[0].model, isinstance(d[0], Review)) for d in in_front[model]}
            if len(kinds) > 1:
                raise ValueError(
                    f"model {model} would defer to several laws, of {sorted(kinds)}: let the "
                    "same draft stand in front of it everywhere"
                )
            fronts[model] = in_front[model][0][0]
        return fronts


def reviewed_by(cascade: Cascade) -> dict[int, list[tuple[Segment, ...]]]:
    """What stands in front of each reviewer, wherever it reviews."""
    found: dict[int, list[tuple[Segment, ...]]] = {0: [cascade.drafts]}
    for segment in walk(cascade.drafts):
        if isinstance(segment, Review):
            found.setdefault(segment.model, []).append(segment.drafts)
    return found


def mixed(rule: DeferralRule, own: Law, draft: Law, plain: Tensor, draft_plain: Tensor) -> Law:
    """The law pi that a deferring reviewer's token follows in one context.

    Parameters
    ----------
    rule : DeferralRule
    own, draft : Law
        Of the reviewer and of what stands in front of it, as sampled from, in float64.
    plain, draft_plain : Tensor, shape (vocab_size,)
        The same at temperature 1, which the rule compares, in float64.
    """
    laws = [x.cpu().numpy() for x in (plain, draft_plain, own.dense(), draft.dense())]
    found = rule.mix(*laws) if hasattr(rule, "mix") else rule.law(*laws).law
    return DenseLaw(_tensor(found, plain))


def mixed_plain(rule: DeferralRule, plain: Tensor, draft_plain: Tensor) -> Tensor:
    """The law pi at temperature 1, shape (vocab_size,); arguments as `mixed`."""
    point = DenseLaw(plain), DenseLaw(draft_plain)
    return mixed(rule, *point, plain, draft_plain).dense()


def exact(law: Law) -> Law:
    """The law in float64, summing to 1: what deferral rules compare and mix.

    Where a rule keeps the draft, pi equals its law bit by bit, so nothing is rejected.
    """
    values = law.dense()
    if values.dtype == torch.float64:  # to divide again would move the last bit, and so ties
        return DenseLaw(values)
    return DenseLaw(values.double() / values.double().sum())


def _tensor(law: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(law)).to(like.device)
