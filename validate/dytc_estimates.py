"""What a router learns while it decodes: acceptance, seconds of a pass, worth of a token."""

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from cscalc._checks import check_int, check_number

STEPS = (0.1, 0.3, 0.5, 0.7, 0.85, 0.95)  # edges of the bins of confidence
NEWEST = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
LONGEST_MATCH = 6
EACH = 0.005  # of a pass: what a further position adds to it, before that is measured


class Acceptance:
    r"""Acceptance rate of one draft, as it was lately.

    Parameters
    ----------
    prior : float
        The rate before anything is seen, in [0, 1].
    keep : float
        Weight of the former estimate (the paper's lambda), in [0, 1).
    window : int
        Outcomes that count (the paper's H), >= 1.

    Notes
    -----
    CAS-Spec (Ning et al., NeurIPS 2025, arXiv:2510.26843), Eq. 4: with every outcome
    :math:`\hat\alpha \leftarrow \lambda \hat\alpha + (1 - \lambda) \bar o`, the mean of the last
    H outcomes. An outcome may be any chance of acceptance in [0, 1], not only 0 or 1.

    Examples
    --------
    >>> rate = Acceptance(0.5)
    >>> rate.see(1.0)
    >>> round(rate.rate, 3)
    0.65
    """

    def __init__(self, prior: float, keep: float = 0.7, window: int = 20) -> None:
        self.rate = check_number("prior", prior, 0.0, 1.0)
        self.seen = 0
        self._keep = check_number("keep", keep, 0.0, 1.0)
        self._window = deque[float](maxlen=check_int("window", window, least=1))

    def see(self, outcome: float) -> None:
        """Take one outcome into the estimate."""
        self._window.append(outcome)
        recent = sum(self._window) / len(self._window)
        self.rate = self._keep * self.rate + (1.0 - self._keep) * recent
        self.seen += 1


class Adaptive:
    r"""Acceptance rate of one draft over as much of the past as looks like the present.

    The mean of all outcomes since the last change, two pseudo-outcomes at the prior included. A
    change is found where the newest 8, 12, 16, 24, ... outcomes and those before them are much
    likelier with two rates than with one.

    Parameters
    ----------
    prior : float
        The rate before anything is seen, in [0, 1].
    least : float
        Log-likelihood ratio that counts as a change, > 0.
    most : int
        Outcomes remembered, >= 32.

    Notes
    -----
    The statistic is :math:`n_1 D(m_1 \| m) + n_0 D(m_0 \| m)`, with the means of the newest,
    the older and all outcomes, and D the divergence of Bernoulli laws: the generalised
    likelihood ratio of a change point.

    Examples
    --------
    >>> rate = Adaptive(0.5)
    >>> for outcome in [1.0] * 100 + [0.0] * 40:
    ...     rate.see(outcome)
    >>> rate.rate < 0.2
    True
    """

    def __init__(self, prior: float, least: float = 10.0, most: int = 512) -> None:
        self.rate = check_number("prior", prior, 0.0, 1.0)
        self._prior, self._least = self.rate, check_number("least", least, 0.0)
        self._past = deque[float](maxlen=check_int("most", most, least=32))

    def see(self, outcome: float) -> None:
        """Take one outcome into the estimate."""
        past = self._past
        past.append(outcome)
        newest = np.cumsum(np.array(past)[::-1])  # sums of the newest 1, 2, ...
        total, count = float(newest[-1]), newest.size
        found = [
            (_change(float(newest[n - 1]), n, total - float(newest[n - 1]), count - n), n)
            for n in NEWEST
            if 2 * n <= count
        ]
        change, size = max(found, default=(0.0, 0))
        if change > self._least:
            total, count = float(newest[size - 1]), size
            keep = list(past)[-size:]
            past.clear()
            past.extend(keep)
        self.rate = (2.0 * self._prior + total) / (2.0 + count)


def _change(new: float, n_new: int, old: float, n_old: int) -> float:
    """Log-likelihood ratio of two rates against one."""
    both = (new + old) / (n_new + n_old)
    return sum(n * _divergence(x / n, both) for x, n in ((new, n_new), (old, n_old)))


def _divergence(mean: float, other: float) -> float:
    """Kullback-Leibler divergence of two Bernoulli laws."""
    parts = ((mean, other), (1.0 - mean, 1.0 - other))
    return sum(a * math.log(a / b) for a, b in parts if a > 0.0 and b > 0.0)


class Latency:
    r"""Seconds of a model's pass by Bayesian linear regression on what the pass holds.

    Parameters
    ----------
    forget : float
        Weight that an observation loses with each later one, in (0, 1]: speeds drift.
    noise : float
        Scatter of a pass, relative to the first one seen.

    Notes
    -----
    Features of a pass: 1, whether it holds several positions, how many more than one, and the
    context in thousands of tokens. The weights have a Gaussian prior around "as long as the
    first pass seen, and 0.5 % more with each position", with conjugate updates; a feature whose
    slope comes out negative is left out.
    A pass that took more than 5 times the prediction, and so was interrupted, counts as that.

    Examples
    --------
    >>> latency = Latency()
    >>> for positions in (1, 8) * 50:
    ...     latency.see(positions, 100, 0.020 + 0.001 * positions)
    >>> round(latency.predict(1, 100), 3), round(latency.predict(8, 100), 3)
    (0.021, 0.028)
    """

    def __init__(self, forget: float = 0.99, noise: float = 0.1) -> None:
        self.seen = 0
        self._forget = forget
        self._noise = noise
        self._weights: tuple[float, ...] | None = None

    def see(self, positions: int, context: int, seconds: float) -> None:
        """Take one pass into the estimate."""
        if self._weights is None:
            scale = max(seconds, 1e-7) / (1.0 + EACH * (positions - 1))
            self._mean = np.array([scale, 0.0, EACH * scale, 0.0])
            spread = scale * np.array([1.0, 0.5, 0.1, 0.5])
            self._prior = np.diag(spread**-2)
            self._variance = (self._noise * scale) ** 2
            self._square, self._product = np.zeros((4, 4)), np.zeros(4)
        elif self.seen >= 10:
            seconds = min(seconds, 5.0 * self.predict(positions, context))
        scale = self._mean[0]
        x = np.array([1.0, float(positions > 1), positions - 1.0, context / 1000.0])
        self._square = self._forget * self._square + np.outer(x, x) / self._variance
        self._product = self._forget * self._product + x * (seconds - x @ self._mean) / (
            self._variance
        )
        self._weights = self._fit()
        self.seen += 1

    def _fit(self) -> tuple[float, ...]:
        """Posterior mean of the weights, without the features whose slope comes out negative."""
        used = [0, 1, 2, 3]
        while True:
            here = np.ix_(used, used)
            found = np.linalg.solve((self._prior + self._square)[here], self._product[used])
            weights = dict(zip(used, (self._mean[used] + found).tolist(), strict=True))
            if all(weights[i] >= 0.0 for i in used[1:]):
                base = max(weights[0], 0.01 * float(self._mean[0]))
                return (base, *(weights.get(i, 0.0) for i in (1, 2, 3)))
            used = [0, *(i for i in used[1:] if weights[i] >= 0.0)]

    def predict(self, positions: int, context: int) -> float:
        """Expected seconds of a pass; ValueError before the first one is seen."""
        if self._weights is None:
            raise ValueError("no pass has been seen yet: nothing to predict from")
        base, several, each, long = self._weights
        return base + several * (positions > 1) + each * (positions - 1) + long * context / 1000.0


class PassCosts:
    """Seconds of any model's pass; before one is seen, its prior cost in target passes.

    Parameters
    ----------
    prior : dict of int -> float
        Cost coefficient of each draft, before it is measured.
    """

    def __init__(self, prior: dict[int, float]) -> None:
        self._prior = {0: 1.0, **prior}
        self._latency = {model: Latency() for model in self._prior}

    def see(self, model: int, positions: int, context: int, seconds: float) -> None:
        """Take one pass into the estimate."""
        self._latency[model].see(positions, context, seconds)

    def predict(self, model: int, positions: int, context: int) -> float:
        """Expected seconds of a pass; in target passes while the target was not seen either."""
        if self._latency[model].seen:
            return self._latency[model].predict(positions, context)
        target = self._latency[0]
        unit = target.predict(1, context) if target.seen else 1.0
        return self._prior[model] * unit


class Confidence:
    """Acceptance of one draft's tokens by how sure of them it was: token-level refinement.

    CAS-Spec, section 4.3, takes the normalised token probability, or for prompt lookup the
    length of the match. Here each is put in bins, and each bin keeps its own rate, drawn
    towards the draft's overall one by a few pseudo-counts.
    """

    def __init__(self, strength: float = 4.0, forget: float = 0.98) -> None:
        self._strength, self._forget = strength, forget
        self._kept: dict[int, float] = {}
        self._count: dict[int, float] = {}

    def see(self, bin_: int, outcome: float) -> None:
        """Take the outcome of a token of this bin into the estimate."""
        self._kept[bin_] = self._forget * self._kept.get(bin_, 0.0) + outcome
        self._count[bin_] = self._forget * self._count.get(bin_, 0.0) + 1.0

    def rate(self, bin_: int, overall: float) -> float:
        """Acceptance of a token of this bin, if the draft's overall rate is `overall`."""
        kept = self._kept.get(bin_, 0.0) + self._strength * overall
        return kept / (self._count.get(bin_, 0.0) + self._strength)


def confidence_bin(probability: float) -> int:
    """Bin of a token by the draft's own probability of it.

    Examples
    --------
    >>> [confidence_bin(p) for p in (0.05, 0.4, 0.99)]
    [0, 2, 6]
    """
    return int(np.searchsorted(STEPS, probability))


def match_bin(text: Sequence[int], token: int) -> int:
    """Bin of a looked-up token: 100 + length of the longest earlier match that it continues.

    Examples
    --------
    >>> match_bin([1, 2, 3, 9, 2, 3], 9), match_bin([1, 2], 5)
    (102, 100)
    """
    array = np.asarray(text)
    ends = np.flatnonzero(array[1:] == token)  # places whose next token is `token`
    best = 0
    for length in range(1, LONGEST_MATCH + 1):
        ends = ends[ends >= length - 1]
        ends = ends[array[ends - length + 1] == array[array.size - length]]
        if ends.size == 0 or array.size <= length:
            break
        best = length
    return 100 + best
