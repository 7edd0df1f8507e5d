"""Deferral rules by name, and sums over contexts of what they make of two laws.

The rules are those of Narasimhan et al., "Faster cascades via speculative decoding", ICLR 2025,
arXiv:2405.19261, and the lossy baselines that they are compared with.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cscalc.theory._laws import check_pair
from cscalc.theory.bild import BiLDStar
from cscalc.theory.deferral import Chow, ChowLog, DeferralRule, Diff, Opt
from cscalc.theory.lossy import Lossy
from cscalc.theory.token_deferral import TokenV1, TokenV2, TokenV3

RULES: dict[str, Callable[[float], DeferralRule]] = {
    "chow": Chow,
    "chowlog": ChowLog,
    "diff": Diff,
    "opt": Opt,
    "token-v1": TokenV1,
    "token-v2": TokenV2,
    "token-v3": TokenV3,
    "bild": BiLDStar,
    "lossy": Lossy,
    "lenient": lambda threshold: Lossy(threshold, simple=True),
}
Laws = tuple[npt.ArrayLike, ...]  # target, draft at temperature 1; both again as sampled from
SUMS = ("contexts", "acceptance", "deferral", "loss", "disagreement")


def make_rule(name: str, threshold: float) -> DeferralRule:
    """A deferral rule by its name.

    Parameters
    ----------
    name : str
        "chow", "chowlog", "diff", "opt", "token-v1", "token-v2", "token-v3", "bild" (BiLD run
        speculatively, by total variation), "lossy" (the exact beta) or "lenient" (beta = 1,
        which is speculative decoding with lenience 1 / (1 - threshold)).
    threshold : float
        The rule's own; see its class.

    Returns
    -------
    DeferralRule

    Raises
    ------
    ValueError
        If there is no rule of that name, or the threshold lies outside its range.

    Examples
    --------
    >>> make_rule("opt", 0.2)
    Opt(threshold=0.2)
    """
    if name not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {name!r}")
    try:
        return RULES[name](threshold)
    except (TypeError, ValueError) as error:
        raise type(error)(f"rule {name}: {error}") from error


def deferral_sums(rule: DeferralRule, laws: Laws) -> dict[str, float]:
    """Sums over contexts of what a rule makes of them; sums of several texts add.

    Parameters
    ----------
    rule : DeferralRule
    laws : tuple of array_like, each (contexts, vocab)
        Target and draft at temperature 1, then both as sampled from if that differs.

    Returns
    -------
    dict
        "contexts"; "acceptance" (the sum over contexts of min(q, pi)); "deferral"; "loss", the
        expected log-loss under the target of a token from pi beyond that of the target's own,
        in nats; "disagreement", the chance that pi's token is not the target's likeliest.

    Examples
    --------
    >>> sums = deferral_sums(Chow(1.0), ([[0.3, 0.7]], [[0.6, 0.4]]))
    >>> sums["acceptance"], sums["deferral"], round(sums["loss"], 4)
    (1.0, 0.0, 0.2542)
    """
    p, q = check_pair(laws[0], laws[1])
    p, q = np.atleast_2d(p), np.atleast_2d(q)
    found = rule.law(p, q, *laws[2:])
    scaled = p if len(laws) == 2 else np.atleast_2d(np.asarray(laws[2], dtype=np.float64))
    nats = -np.log(np.maximum(p, np.finfo(np.float64).tiny))
    best = p.argmax(axis=-1)
    rows = np.arange(len(p))
    return {
        "contexts": float(len(p)),
        "acceptance": float(np.sum(found.acceptance)),
        "deferral": float(np.sum(found.deferral)),
        "loss": float(((found.law - scaled) * nats).sum()),
        "disagreement": float((1.0 - found.law[rows, best]).sum()),
    }
