"""Which term lost the speed-up: what each would give back were it gone, with its numbers."""

from dataclasses import asdict, dataclass
from typing import Any

from cscalc.profile import Profile
from validate.diagnosis_terms import OUTSIDE, SMALL, Case, Term
from validate.report import Report

SCHEMA = "validate/diagnosis"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """See `diagnose`.

    Attributes
    ----------
    speedup, tokens_per_cycle, cycle_cost : float
        Measured; the cost in the time of a plain token.
    predicted : float
        Speed-up predicted with the prompts' own rates.
    plain_tokens_per_second : float or None
        Of plain decoding.
    terms : tuple of Term
        The largest effect first. Effects overlap: they do not multiply up.
    drafts : tuple of dict
        Each draft's rate and cost beside those at which it starts to pay.

    Examples
    --------
    >>> slow = Term("sampling", 1.2, None, "drawing takes 17 % of the time.")
    >>> Diagnosis(1.5, 2.0, 1.33, 1.8, None, (slow,), ()).lost[0].remedy
    'fewer candidates to sort (top-k before top-p), sampling on the device'
    """

    speedup: float
    tokens_per_cycle: float
    cycle_cost: float
    predicted: float
    plain_tokens_per_second: float | None
    terms: tuple[Term, ...]
    drafts: tuple[dict[str, Any], ...]

    @property
    def lost(self) -> tuple[Term, ...]:
        """Terms that cost speed, the largest first."""
        return tuple(term for term in self.terms if term.factor > 1.0 + SMALL)

    @property
    def verdict(self) -> str:
        """The result in a sentence or two."""
        verb = "covers" if self.speedup > 1.0 else "does not cover"
        said = (
            f"A cycle writes {self.tokens_per_cycle:.2f} tokens, which {verb} its cost of "
            f"{self.cycle_cost:.2f} plain tokens' time: {self.speedup:.2f} times plain decoding, "
            f"predicted {self.predicted:.2f}."
        )
        losses = [term for term in self.lost if term.avoidable]
        prices = [term for term in self.lost if not term.avoidable]
        if losses:
            gain = 100.0 * (losses[0].factor - 1.0)
            said += f" The largest loss, {gain:.1f} %, is {losses[0].name}: {losses[0].sentence}"
        else:
            said += " No avoidable term costs more than 0.1 %."
        if prices:
            said += f" The largest price is {prices[0].name}: {prices[0].sentence}"
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "schema": SCHEMA,
            "version": 1,
            "verdict": self.verdict,
            "speedup": self.speedup,
            "predicted": self.predicted,
            "tokens_per_cycle": self.tokens_per_cycle,
            "cycle_cost": self.cycle_cost,
            "plain_tokens_per_second": self.plain_tokens_per_second,
            "terms": [
                {**asdict(term), "avoidable": term.avoidable, "remedy": term.remedy}
                for term in self.terms
            ],
            "drafts": list(self.drafts),
        }


def diagnose(profile: Profile, report: Report) -> Diagnosis:
    """Say which term lost the speed-up of a run.

    Parameters
    ----------
    profile : Profile
        As `validate.measure` made it.
    report : Report
        As `validate.report` made it of that profile and the run.

    Returns
    -------
    Diagnosis

    Raises
    ------
    ValueError
        If the report is of other models than the profile, or the profile has no measurement.

    Notes
    -----
    Each term is what the measured run would have been without it: all proposals accepted;
    drafts that cost nothing, or as much as their share of the target's parameters;
    verification at the price of one position; passes as fast as they were measured; no time
    outside of passes; tokens per cycle as the measured prompts predict; the best lengths of
    the same drafts on the measured texts.

    Examples
    --------
    >>> import validate.report
    >>> from cscalc.cascade import Cascade, Draft
    >>> places = {"overlap": {"0,1": [0.6] * 9}, "kept": {"0,1": [0.6] * 9}, "calls": {}}
    >>> prompt = {"question_id": 1, "category": "a", "contexts": 9, "proposed": {}, **places}
    >>> profile = Profile([0.6], [0.1], measurement={"prompts": [prompt]})
    >>> times = {"emitted": [2], "reviewed": [1], "decode_seconds": 2.5, "seconds": {"0": 1.0}}
    >>> plain = {"emitted": [1], "decode_seconds": 1.0}
    >>> record = {"question_id": 1, "category": "a", "same_tokens": True, "plain": plain}
    >>> made = validate.report.report(
    ...     Cascade((Draft(1, 1),)), profile, [{**record, "cascade": times}]
    ... )
    >>> print(diagnose(profile, made).lost[0].name)
    bookkeeping and waiting
    """
    if report.names != profile.names:
        raise ValueError(
            f"the report is of {', '.join(report.names)}, the profile of "
            f"{', '.join(profile.names)}: give the profile that the report was made with"
        )
    if profile.measurement is None:
        raise ValueError("this profile holds no measurement: make it with `validate.measure`")
    measured = report.cycle["measured"]
    if not sum(measured.values()) - measured[OUTSIDE] > 0.0:
        raise ValueError("the run holds no time of passes, so no term can be told: run it again")
    case = Case(profile, report)
    return Diagnosis(
        speedup=case.speed,
        tokens_per_cycle=case.tokens,
        cycle_cost=case.cost,
        predicted=case.group.own["speedup"].value,
        plain_tokens_per_second=None if case.unit is None else 1.0 / case.unit,
        terms=tuple(case.terms()),
        drafts=tuple(case.drafts()),
    )
