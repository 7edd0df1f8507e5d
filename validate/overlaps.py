"""Acceptance rates of one text that the target wrote, with one pass of each model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from validate.models import LanguageModel, Models
from validate.sampling import Laws, PointLaws, Sampling

SURVIVAL = 16  # draft positions at which survival is kept
CALL = 10  # tokens that a one-shot draft is asked for, as in CS Drafting and prompt lookup


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Sums over the contexts of one text; records add over texts.

    Attributes
    ----------
    contexts : int
        Contexts (reply tokens) looked at.
    overlap : dict of "i,j" -> list of float
        Autoregressive draft j reviewed by model i: the overlap at every context, the sum of
        min(p, q), or whether the argmaxes agree if decoding is greedy. One-shot draft j: the
        overlap of every proposal that would be looked at if it drafted alone along this
        text, 10 tokens a call; 0 for a call without a proposal. The mean is alpha.
    kept : dict of "0,j" -> list of float
        Chance that the token written at a place had been proposed by draft j and kept by the
        target, given that it was written: min(1, q/p).
    calls : dict of "i,j" -> list of list of float
        One-shot draft j called at every place: overlap with model i of its proposals, up to
        the first that is not the text's own (for the target: 1 and then 0, given the text).
    proposed : dict of "j" -> list of int
        Tokens that the one-shot draft j proposes at every place, at most 16.
    survival : dict of "i,j" -> list of float
        Entry k: expected number of contexts in which the first k proposals of draft j, made
        there, are all accepted by model i (k = 0, 1, ..., 16; entry 0 counts contexts with
        a full horizon).
    """

    contexts: int
    overlap: dict[str, list[float]]
    kept: dict[str, list[float]]
    calls: dict[str, list[list[float]]]
    proposed: dict[str, list[int]]
    survival: dict[str, list[float]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""

        def rounded(part: dict[str, list[float]]) -> dict[str, list[float]]:
            return {pair: [round(x, 9) for x in values] for pair, values in part.items()}

        return {
            "contexts": self.contexts,
            "overlap": rounded(self.overlap),
            "kept": rounded(self.kept),
            "calls": {
                pair: [[round(x, 9) for x in call] for call in calls]
                for pair, calls in self.calls.items()
            },
            "proposed": self.proposed,
            "survival": rounded(self.survival),
        }


def measure_overlaps(
    models: Models, prompt: Sequence[int], reply: Sequence[int], sampling: Sampling
) -> Overlaps:
    """Acceptance of every draft by every dearer model along `reply`.

    Parameters
    ----------
    models : Models
    prompt, reply : sequence of int
        `reply` should be the target's own text, drawn with `sampling`.
    sampling : Sampling
        The law that is decoded from.
    """
    laws = {
        number: reply_laws(model, prompt, reply, sampling)
        for number, model in models.language.items()
    }
    overlap: dict[str, list[float]] = {}
    kept: dict[str, list[float]] = {}
    calls: dict[str, list[list[float]]] = {}
    proposed: dict[str, list[int]] = {}
    survival: dict[str, list[float]] = {}
    for i, reviewer in laws.items():
        for j, draft in laws.items():
            if i < j:
                at = overlap_rows(reviewer, draft)
                overlap[f"{i},{j}"] = at
                if_emitted = _kept_if_emitted(reviewer, draft, reply)
                survival[f"{i},{j}"] = _survival(at, if_emitted)
                if i == 0:
                    kept[f"{i},{j}"] = if_emitted
    for j, one_shot in models.one_shot.items():
        proposals = [one_shot.propose([*prompt, *reply[:t]], SURVIVAL) for t in range(len(reply))]
        proposed[str(j)] = [len(call) for call in proposals]
        for i, reviewer in laws.items():
            if i < j:
                calls[f"{i},{j}"] = _calls(proposals, reviewer, reply, given_text=i == 0)
                overlap[f"{i},{j}"] = _one_shot_overlap(proposals, reviewer, reply)
                survival[f"{i},{j}"] = _one_shot_survival(proposals, reviewer, reply)
    return Overlaps(len(reply), overlap, kept, calls, proposed, survival)


def reply_laws(
    model: LanguageModel, prompt: Sequence[int], reply: Sequence[int], sampling: Sampling
) -> Laws:
    """Laws of every reply token under `model`, given the text before it."""
    session, text = model.start(), [*prompt, *reply[:-1]]
    return sampling.law(session.extend(text, len(reply)), text)


def overlap_rows(reviewer: Laws, draft: Laws) -> list[float]:
    """Overlap of two models' laws in each context: whether they agree, if decoding is greedy."""
    if isinstance(reviewer, PointLaws) and isinstance(draft, PointLaws):
        return [float(a == b) for a, b in zip(reviewer.tokens, draft.tokens, strict=True)]
    overlap = torch.minimum(reviewer.dense(), draft.dense()).sum(dim=-1).double()
    return overlap.clamp(max=1.0).tolist()  # a draft that equals its reviewer rounds above 1


def _kept_if_emitted(reviewer: Laws, draft: Laws, reply: Sequence[int]) -> list[float]:
    """Chance that an emitted token had been proposed and kept: min(1, q/p) at the token."""
    kept = []
    for token, p_law, q_law in zip(reply, reviewer, draft, strict=True):
        p = p_law.prob(token)
        kept.append(min(1.0, q_law.prob(token) / p) if p > 0.0 else 0.0)
    return kept


def _survival(overlap: list[float], kept: list[float]) -> list[float]:
    """Along a text of the reviewer's law, E[first k accepted] = prod kept * last overlap."""
    starts = range(max(0, len(overlap) - SURVIVAL + 1))
    sums = [float(len(starts))]
    for k in range(1, SURVIVAL + 1):
        total = 0.0
        for start in starts:
            weight = overlap[start + k - 1]
            for t in range(start, start + k - 1):
                weight *= kept[t]
            total += weight
        sums.append(total)
    return sums


def _calls(
    proposals: list[list[int]], reviewer: Laws, reply: Sequence[int], *, given_text: bool
) -> list[list[float]]:
    """Overlap of each call's proposals, up to the first that is not the text's own."""
    found = []
    for start, call in enumerate(proposals):
        chances: list[float] = []
        for k, token in enumerate(call[: len(reply) - start]):
            same = reply[start + k] == token
            chances.append(float(same) if given_text else reviewer[start + k].prob(token))
            if not same:
                break
        found.append(chances)
    return found


def _one_shot_overlap(
    proposals: list[list[int]], reviewer: Laws, reply: Sequence[int]
) -> list[float]:
    """Overlap of each proposal looked at, call after call along the text.

    Calls start where the call before ended, so long copies count once, not from every token
    inside them.
    """
    looked_at: list[float] = []
    start = 0
    while start < len(reply):
        call = proposals[start][:CALL]
        kept = 0
        for token in call[: len(reply) - start]:
            looked_at.append(reviewer[start + kept].prob(token))
            if reply[start + kept] != token:
                break
            kept += 1
        if not call:
            looked_at.append(0.0)
        start += kept + 1
    return looked_at


def _one_shot_survival(
    proposals: list[list[int]], reviewer: Laws, reply: Sequence[int]
) -> list[float]:
    """The same for deterministic proposals: an earlier one survives where the text agrees."""
    starts = range(max(0, len(reply) - SURVIVAL + 1))
    sums = [float(len(starts))] + [0.0] * SURVIVAL
    for start in starts:
        for k, token in enumerate(proposals[start]):
            sums[k + 1] += reviewer[start + k].prob(token)
            if reply[start + k] != token:
                break
    return sums
