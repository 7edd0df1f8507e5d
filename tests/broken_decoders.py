"""Speculative decoding written from scratch in NumPy, right and with the mistakes seen in use.

Shares no code with `validate.verify` or the decoders: a model is asked for logits of the whole
text, everything else is here. `decoder(mistake)` has the signature of `validate.generate`.
"""

from functools import lru_cache
from types import SimpleNamespace

import numpy as np

MISTAKES = (
    "bonus from unwarped logits",  # the tree verifier of SWIFT, EAGLE-3 and SAMD copies
    "argmax drafts, soft ratio",  # romsto/Speculative-Decoding, default
    "one random number",  # feifeibear/LLMSpeculativeSampling, with a seed
    "draft laws off by one row",  # CS Drafting's code
    "residual not renormalised",
    "lenience at the target",
    "accepting with q",
    "correcting from p",
    "residual not clipped",
    "stale target row",  # the review reads one row too early
)


def decoder(mistake=None):
    """`generate` for one draft model: ``Cascade((Draft(1, length),))`` or plain decoding."""

    def generate(cascade, models, prompt, *, generator, max_tokens, sampling):
        seed = generator.initial_seed() % 2**63
        number = Source(seed, again=mistake == "one random number")
        laws = Laws(models, sampling, mistake)
        length = cascade.drafts[0].length if cascade.drafts else 0
        tokens, emitted, reviewed = list(prompt), [], []
        while len(tokens) < len(prompt) + max_tokens:
            new = cycle(laws, tuple(tokens), length, number, mistake)
            emitted.append(len(new))
            reviewed.append(length)
            tokens += new
        written = tokens[len(prompt) : len(prompt) + max_tokens]
        return SimpleNamespace(tokens=written, emitted=emitted, reviewed=reviewed)

    return generate


def cycle(laws, text, length, number, mistake):
    """One cycle of Leviathan et al.'s Algorithm 1, or of a mistaken one."""
    drafted, qs = [], []
    for _ in range(length):
        q = laws.of(1, text + tuple(drafted))
        greedy = mistake == "argmax drafts, soft ratio"
        drafted.append(int(q.argmax()) if greedy else invert(q, number()))
        qs.append(q)
    if mistake == "draft laws off by one row" and length > 1:
        qs = [qs[0], *qs[:-1]]
    for i, token in enumerate(drafted):
        at = text + tuple(drafted[:i])
        if mistake == "stale target row" and i:
            at = at[:-1]
        p, q = laws.of(0, at), qs[i]
        ratio = p[token] / q[token] if q[token] > 0.0 else 1.0
        if mistake == "lenience at the target":
            ratio *= 2.0
        if mistake == "accepting with q":
            ratio = q[token]
        if number() >= ratio:
            return [*drafted[:i], invert(residual(p, q, mistake), number())]
    after = text + tuple(drafted)
    warped = mistake != "bonus from unwarped logits"
    return [*drafted, invert(laws.of(0, after, warped=warped), number())]


def residual(p, q, mistake):
    if mistake == "correcting from p":
        return p
    if mistake == "residual not clipped":
        return np.abs(p - q) / np.abs(p - q).sum()
    excess = np.maximum(p - q, 0.0)
    if mistake == "residual not renormalised":
        return excess  # what is missing to 1 falls to the last token
    return excess / excess.sum()


def invert(law, u):
    """Token at u of the cumulative law."""
    return min(int(np.searchsorted(np.cumsum(law), u, side="right")), law.size - 1)


class Source:
    """Uniform numbers of one seed; always the first again, if so asked."""

    def __init__(self, seed, *, again):
        self._rng = np.random.default_rng(seed)
        self._first = self._rng.random() if again else None

    def __call__(self):
        return self._rng.random() if self._first is None else self._first


class Laws:
    """Softmax at a temperature, after a top-k cut; in NumPy."""

    def __init__(self, models, sampling, mistake):
        self._models, self._sampling = models, sampling
        self._greedy_draft = mistake == "argmax drafts, soft ratio"

    def of(self, model, text, *, warped=True):
        logits = logits_of(self._models.language[model], text)
        temperature, top_k = (self._sampling.temperature, self._sampling.top_k)
        if not warped:
            temperature, top_k = 1.0, None
        if temperature == 0.0:
            if self._greedy_draft:  # soft laws although decoding is greedy
                temperature = 1.0
            else:
                return np.eye(logits.size)[logits.argmax()]
        logits = logits / temperature
        if top_k is not None:
            logits = np.where(logits < np.sort(logits)[-top_k], -np.inf, logits)
        weights = np.exp(logits - logits.max())
        return weights / weights.sum()


@lru_cache(maxsize=200_000)
def logits_of(model, text):
    return model.start().extend(list(text), 1)[0].double().numpy()
