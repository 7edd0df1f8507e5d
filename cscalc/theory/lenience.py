"""Lenient review in both conventions, as one type, and the laws it gives."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_number
from cscalc.theory._laws import check_law
from cscalc.theory.series import unwrap


@dataclass(frozen=True, slots=True)
class Lenience:
    """How much a reviewer forgives: it accepts x with probability min(1, factor * p(x) / q(x)).

    Make one with `Lenience.cs_drafting` (l >= 1) or `Lenience.leviathan` (l in (0, 1]); the two
    papers' numbers are reciprocal. Here p is the reviewer's law and q the draft's. Lenient review
    changes the law of the output, so a lossless cascade uses it only where a draft model reviews.

    Attributes
    ----------
    factor : float
        >= 1; 1 is lossless review.

    Examples
    --------
    >>> Lenience.cs_drafting(2.0) == Lenience.leviathan(0.5)
    True
    """

    factor: float

    def __post_init__(self) -> None:
        factor = check_number("factor", self.factor)
        if factor < 1.0:
            raise ValueError(
                f"factor must be >= 1, got {factor:g}: for Leviathan's l use Lenience.leviathan"
            )
        object.__setattr__(self, "factor", factor)  # a NumPy number becomes a plain float

    @classmethod
    def cs_drafting(cls, value: float) -> "Lenience":
        """From CS Drafting's l >= 1 (Chen et al., NeurIPS 2024, arXiv:2312.11462, section 3).

        Raises
        ------
        ValueError
            If `value` is below 1 or not finite.
        """
        return cls(check_number("value", value, least=1.0))

    @classmethod
    def leviathan(cls, value: float) -> "Lenience":
        """From Leviathan's l in (0, 1] (ICML 2023, arXiv:2211.17192, appendix A.5).

        Raises
        ------
        ValueError
            If `value` lies outside (0, 1].
        """
        number = check_number("value", value, least=0.0, most=1.0)
        if number == 0.0 or not np.isfinite(1.0 / number):
            raise ValueError(f"value must be > 0, got {number:g}: 0 would accept everything")
        return cls(1.0 / number)

    @property
    def cs_drafting_value(self) -> float:
        """The same lenience as CS Drafting writes it, >= 1."""
        return self.factor

    @property
    def leviathan_value(self) -> float:
        """The same lenience as Leviathan et al. write it, in (0, 1]."""
        return 1.0 / self.factor

    def accept_probability(self, target: npt.ArrayLike, draft: npt.ArrayLike) -> Floats:
        """Probability that a proposal is accepted, token by token, in sampling.

        Parameters
        ----------
        target, draft : array_like, shape (..., vocab_size)
            Laws of the reviewer and of the draft.

        Returns
        -------
        ndarray, shape (..., vocab_size)
            min(1, factor * target / draft); 1 where the draft has no mass and cannot propose.

        Raises
        ------
        ValueError
            If a law is not a law.

        Examples
        --------
        >>> Lenience.cs_drafting(2.0).accept_probability([0.3, 0.7], [0.8, 0.2])
        array([0.75, 1.  ])
        """
        reviewer, drafter = check_law("target", target), check_law("draft", draft)
        loose = self.factor * reviewer
        return np.where(loose < drafter, loose / np.where(drafter > 0.0, drafter, 1.0), 1.0)

    def alpha(self, target: npt.ArrayLike, draft: npt.ArrayLike) -> Floats:
        """Acceptance rate in one context: the sum of min(draft, factor * target).

        Parameters
        ----------
        target, draft : array_like, shape (..., vocab_size)
            Laws of the reviewer and of the draft.

        Returns
        -------
        float or ndarray, shape (...)
            In [0, 1]; Leviathan's alpha(l) = sum min(q, p / l), appendix A.5.

        Raises
        ------
        ValueError
            If a law is not a law.

        Examples
        --------
        >>> round(float(Lenience.leviathan(0.8).alpha([0.3, 0.5, 0.2], [0.6, 0.3, 0.1])), 3)
        0.775
        """
        reviewer, drafter = check_law("target", target), check_law("draft", draft)
        overlap = np.minimum(drafter, self.factor * reviewer).sum(axis=-1)
        return unwrap(np.minimum(overlap, 1.0))  # rounding may leave a sum just above 1

    def emitted_law(self, target: npt.ArrayLike, draft: npt.ArrayLike) -> Floats:
        """Law of the emitted token: accepted, or drawn from norm((target - draft)+).

        Parameters
        ----------
        target, draft : array_like, shape (..., vocab_size)
            Laws of the reviewer and of the draft.

        Returns
        -------
        ndarray, shape (..., vocab_size)
            `target` itself at factor 1; nowhere above ``factor * target`` (appendix A.5).

        Raises
        ------
        ValueError
            If a law is not a law.

        Examples
        --------
        >>> law = Lenience.leviathan(0.8).emitted_law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1])
        >>> law.round(3)
        array([0.375, 0.45 , 0.175])
        """
        reviewer, drafter = check_law("target", target), check_law("draft", draft)
        accepted = np.minimum(drafter, self.factor * reviewer)
        rejected = (drafter - accepted).sum(axis=-1, keepdims=True)
        excess = np.maximum(reviewer - drafter, 0.0)
        mass = excess.sum(axis=-1, keepdims=True)  # 0 only if the laws are equal: no rejection
        return np.asarray(accepted + rejected * excess / np.where(mass > 0.0, mass, 1.0))
