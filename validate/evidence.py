"""What replies of a decoder say of its law: each token as a number that is uniform if lossless.

Rosenblatt's transform, Ann. Math. Stat. 23 (1952) 470-472, with its randomised form for
discrete laws: sort the tokens in any order fixed by the text before; u is the mass ahead of
the token that was written plus a uniform share of its own mass. If every token follows the
target's law given the text before it, all u are independent and uniform, whatever the texts,
so tokens of many contexts can be counted together.

The target's laws are computed afresh by reading each reply in one pass, not taken from the
decoder.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cscalc._checks import Floats
from cscalc.cascade import Cascade, Draft, Review, call_length, max_length
from validate.models import Models, Session
from validate.sampling import Sampling
from validate.ties import Written, rounding

ACCEPTED, CORRECTED, BONUS = range(3)
KINDS = ("accepted", "corrected", "bonus")
ORDERS = ("likeliest", "draft", "number")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All tokens of all replies; arrays of one length.

    Attributes
    ----------
    prompt, reply, position, index, kind : ndarray of int
        Which prompt and reply; place in the reply; place in its cycle; 0 accepted,
        1 corrected, 2 bonus.
    token : ndarray of int
        What was written.
    uniforms : dict of order -> ndarray of float
        u under the target's law with its likeliest tokens first ("likeliest"), with the
        tokens first that the first draft proposes too often ("draft"; only where there is an
        autoregressive draft), and by token number ("number").
    corrected : ndarray of float
        u of a corrected token under (p - q)+ normalised, likeliest first; nan for other
        tokens, and where the draft that proposed is not known from the place.
    impossible : ndarray of bool
        Tokens without mass under the law they should follow, by more than rounding.
    rounded : int
        Tokens without mass by no more than rounding; their u is a fresh uniform.
    """

    prompt: Floats
    reply: Floats
    position: Floats
    index: Floats
    kind: Floats
    token: Floats
    uniforms: dict[str, Floats]
    corrected: Floats
    impossible: Floats
    rounded: int


def proposers(
    cascade: Cascade, options: Mapping[str, Any]
) -> Callable[[int], tuple[int, int, int] | None]:
    """Function of a place in a cycle: segment that proposes there, its first and last start.

    None where the place does not tell, because the lengths of earlier segments vary.
    `options` are those of the decoder: drafts that stop early have no fixed length.
    """
    spans = []  # (segment, first start, last start, fewest tokens held after it)
    fewest = most = 0
    for number, segment in enumerate(cascade.drafts):
        start = fewest, most
        low = 1 if options.get("confidence") else call_length(segment)[0]
        calls = segment.rounds if isinstance(segment, Review) and segment.rounds else 1
        most = max_length(cascade.drafts[: number + 1])
        if segment.until is not None:
            fewest = max(fewest, segment.until)
        else:
            fewest += calls * low
        spans.append((number, *start, fewest))

    def find(index: int) -> tuple[int, int, int] | None:
        for number, first, last, held in spans:
            if index >= last and (index < held or number == len(spans) - 1):
                return number, first, last
        return None

    return find


def uniforms(probs: Tensor, scores: Tensor, tokens: Tensor, shares: Tensor) -> Tensor:
    """Mass ahead of each token in falling order of `scores`, plus a share of its own mass.

    Parameters
    ----------
    probs, scores : Tensor, shape (rows, vocab_size), float64
    tokens : Tensor of int, shape (rows,)
    shares : Tensor, shape (rows,), in [0, 1)

    Returns
    -------
    Tensor, shape (rows,)

    Examples
    --------
    >>> p = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
    >>> half = torch.tensor([0.5], dtype=torch.float64)
    >>> float(uniforms(p, p, torch.tensor([1]), half))
    0.65
    """
    at = tokens[:, None]
    own = scores.gather(-1, at)
    number = torch.arange(probs.shape[-1], device=probs.device)
    ahead = (scores > own) | ((scores == own) & (number < at))
    mass = (probs * ahead).sum(dim=-1) + shares * probs.gather(-1, at)[:, 0]
    return mass / probs.sum(dim=-1)


def gather(
    cascade: Cascade,
    models: Models,
    prompts: Sequence[Sequence[int]],
    replies: Sequence[tuple[int, Written]],
    sampling: Sampling,
    *,
    rng: np.random.Generator,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Evidence:
    """Read every reply with the target and its drafts.

    Parameters
    ----------
    cascade : Cascade
        What wrote the replies.
    models : Models
    prompts : sequence of sequence of int
    replies : sequence of (prompt number, what was written)
    sampling : Sampling
        What the replies were drawn with; temperature > 0.
    rng : numpy.random.Generator
        Of the shares of a token's own mass.
    options : mapping, optional
        Further options of the decoder: confidence, lenience.
    progress : callable
        Called with the number of replies read.
    """
    if not sampling.temperature > 0.0:
        raise ValueError("greedy text has no chance in it: compare it with compare_greedy")
    readers = [_Reader(cascade, models, prompt, sampling, options or {}) for prompt in prompts]
    columns: dict[str, list[Any]] = {}
    rounded = 0
    for number, (at, run) in enumerate(replies):
        part, more = readers[at].read(run, rng)
        rounded += more
        size = len(run.tokens)
        part |= {"prompt": np.full(size, at), "reply": np.full(size, number)}
        for name, values in part.items():
            columns.setdefault(name, []).append(values)
        progress(number + 1)
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    orders = {name: whole.pop(name) for name in ORDERS if name in whole}
    return Evidence(uniforms=orders, rounded=rounded, **whole)


def cycle_places(run: Written) -> Iterator[tuple[int, int, int]]:
    """Yield (start of the cycle, place in it, kind) of every token of a reply."""
    start = 0
    for emitted, reviewed in zip(run.emitted, run.reviewed, strict=True):
        if not 1 <= emitted <= reviewed + 1:
            raise ValueError(f"a cycle emitted {emitted} tokens after {reviewed} proposals")
        for index in range(min(emitted, len(run.tokens) - start)):
            last = index == emitted - 1
            extra = BONUS if emitted == reviewed + 1 else CORRECTED
            yield start, index, extra if last else ACCEPTED
        start += emitted
    if start < len(run.tokens):
        raise ValueError(f"the cycles emitted {start} tokens, but {len(run.tokens)} were written")


class _Reader:
    """Reads replies to one prompt; the caches keep the prompt."""

    def __init__(
        self, cascade: Cascade, models: Models, prompt: Sequence[int], sampling: Sampling,
        options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._models = models
        self._cascade = cascade
        self._prompt = [int(token) for token in prompt]
        self._sampling = sampling
        self._sessions: dict[int, Session] = {}
        self._known: dict[int, tuple[Tensor, Tensor]] = {}  # of the reply being read
        self._proposer = proposers(cascade, options)
        self._lenient = bool(options.get("lenience"))
        tables = (s.model for s in cascade.drafts if s.model in models.language)
        self._first = next(tables, None)  # the draft whose excess orders the tokens

    def read(self, run: Written, rng: np.random.Generator) -> tuple[dict[str, Floats], int]:
        """Columns of one reply, and how many tokens had no mass by rounding."""
        size = len(run.tokens)
        tokens = torch.tensor(run.tokens)
        shares = torch.from_numpy(rng.random((2, size)))
        self._known.clear()
        logits, probs = self._laws(0, run.tokens)  # (size, vocab_size) each
        by_number = -torch.arange(probs.shape[-1], dtype=torch.float64).expand_as(probs)
        scores = {"likeliest": probs, "number": by_number}
        if self._first is not None:
            draft = self._laws(self._first, run.tokens)[1]
            scores["draft"] = torch.where(probs > 0.0, draft / probs, -1.0)
        found = {name: uniforms(probs, by, tokens, shares[0]) for name, by in scores.items()}
        places = list(cycle_places(run))
        corrected = np.full(size, np.nan)
        impossible = np.zeros(size, dtype=bool)
        rounded = 0
        for t, (start, index, kind) in enumerate(places):
            token = run.tokens[t]
            if not float(probs[t, token]) > 0.0:
                text = [*self._prompt, *run.tokens[:t]]
                near = _near(logits[t], text, token, self._sampling)
                impossible[t], rounded = not near, rounded + near
                for values in found.values():
                    values[t] = shares[0, t]
            elif kind == CORRECTED and (q := self._proposal(run, start, index)) is not None:
                excess = (probs[t] - q).clamp(min=0.0)
                if not float(excess.sum()) > 1e-6:
                    continue  # p = q up to rounding
                if float(excess[token]) > 0.0:
                    row = excess[None]
                    own = uniforms(row, row, tokens[t : t + 1], shares[1, t : t + 1])
                    corrected[t] = float(own)
                    continue
                slack = math.exp(
                    2.0 * rounding(logits[t], logits.dtype) / self._sampling.temperature
                )
                near = float(q[token]) <= float(probs[t, token]) * slack
                impossible[t], rounded = not near, rounded + near
        columns = {name: values.numpy() for name, values in found.items()}
        columns |= {
            "position": np.arange(size),
            "index": np.array([index for _, index, _ in places]),
            "kind": np.array([kind for _, _, kind in places]),
            "token": np.array(run.tokens),
            "corrected": corrected,
            "impossible": impossible,
        }
        return columns, rounded

    def _proposal(self, run: Written, start: int, index: int) -> Tensor | None:
        """Law that the rejected proposal was drawn from; None if the place does not tell."""
        found = self._proposer(index)
        if found is None:
            return None
        number, first, last = found
        segment = self._cascade.drafts[number]
        if isinstance(segment, Review) and self._lenient:
            return None  # a lenient reviewer's tokens do not follow its own law
        if segment.model in self._models.language:
            return self._laws(segment.model, run.tokens)[1][start + index]
        if first != last or not isinstance(segment, Draft) or segment.until is not None:
            return None
        text = [*self._prompt, *run.tokens[: start + first]]
        proposed = self._models.one_shot[segment.model].propose(text, segment.length)
        if len(proposed) <= index - first:
            return None
        law = torch.zeros(self._models.vocab_size, dtype=torch.float64)
        law[proposed[index - first]] = 1.0
        return law

    def _laws(self, model: int, tokens: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Logits and float64 laws of every token of a reply, (tokens, vocab_size) each."""
        if model not in self._known:
            if model not in self._sessions:
                self._sessions[model] = self._models.language[model].start()
                if len(self._prompt) > 1:
                    self._sessions[model].extend(self._prompt[:-1], 1)
            session = self._sessions[model]
            session.rewind(len(self._prompt) - 1)
            text = [*self._prompt, *tokens[:-1]]
            logits = session.extend(text[len(self._prompt) - 1 :], len(tokens)).cpu()
            self._known[model] = logits, self._sampling.law(logits, text).dense().double()
        return self._known[model]


def _near(logits: Tensor, text: Sequence[int], token: int, sampling: Sampling) -> bool:
    """Whether the token has mass once rounding raises its logit."""
    raised = logits.double().clone()
    raised[token] += rounding(logits, logits.dtype)
    return sampling.law(raised[None], text)[0].prob(token) > 0.0
