"""What `certify` found: the record of a certificate, and its result in a sentence."""

import os
from dataclasses import dataclass
from typing import Any

from cscalc._files import write_json
from cscalc.records import run_id
from validate.certificate_counts import FREQUENT, GROUPS, Comparison
from validate.certificate_power import Power, powers
from validate.ties import GreedyCheck

SCHEMA = "validate/certificate"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What `certify` compared, and what came out.

    Attributes
    ----------
    experiment : dict
        Models, cascade, sampling, sizes, prompts and seeds: all that shapes the result.
    comparisons : tuple of Comparison
        In the order in which they were planned; empty for greedy decoding.
    tokens, impossible, rounded : int
        Tokens drawn; those without mass under the target's law, by more than rounding and by
        no more.
    greedy : tuple of GreedyCheck
        One a prompt.
    provenance : dict
        Versions, machine, command.

    Notes
    -----
    ``passed`` wants every group of comparisons to have had enough tokens: "passed in part" is
    not passed. What each group could have seen is in `power`.

    Examples
    --------
    >>> check = GreedyCheck(64, "float32")
    >>> Certificate({"false_alarm": 0.001}, (), 0, 0, 0, (check, check), {}).verdict
    "No sign of loss: 2 greedy texts equal plain decoding's."
    """

    experiment: dict[str, Any]
    comparisons: tuple[Comparison, ...]
    tokens: int
    impossible: int
    rounded: int
    greedy: tuple[GreedyCheck, ...]
    provenance: dict[str, Any]

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """Comparisons that failed, the clearest first."""
        failed = [one for one in self.comparisons if not one.passed]
        return tuple(sorted(failed, key=lambda one: (one.p_value, -one.statistic)))

    @property
    def power(self) -> tuple[Power, ...]:
        """What each group of comparisons could have seen."""
        return powers(self.comparisons)

    @property
    def untested(self) -> tuple[str, ...]:
        """Groups of comparisons for none of which there were enough tokens."""
        return tuple(one.group for one in self.power if one.lacking)

    @property
    def failed(self) -> bool:
        """Whether anything that was compared disagrees with the target's law."""
        wrong = bool(self.failures) or self.impossible > 0
        return wrong or not all(check.passed for check in self.greedy)

    @property
    def passed(self) -> bool:
        """Whether every group of comparisons had enough tokens, and all of them agree."""
        return not self.failed and not self.untested

    @property
    def outcome(self) -> str:
        """In words: "passed", "passed in part" (some groups untested), "not tested", "failed"."""
        if self.failed or self.passed:
            return "failed" if self.failed else "passed"
        some = self.greedy or any(one.tested for one in self.comparisons)
        return "passed in part" if some else "not tested"

    @property
    def engine(self) -> str:
        """How passes ran: "eager", "static", "graphs" or "compiled"."""
        settings = self.experiment.get("engine")
        if settings is None:
            return "eager"
        return "compiled" if settings["compile"] else "graphs" if settings["graphs"] else "static"

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        said = [*self._drawn(), *self._written()]
        if self.failed:
            return f"NOT lossless: {'; '.join(said)}."
        gaps = f"too few tokens to test: {', '.join(str(p) for p in self.power if p.lacking)}"
        if self.passed:
            return f"No sign of loss: {'; '.join(said)}."
        if said:
            return f"No sign of loss in what could be tested: {'; '.join(said)}; {gaps}."
        return f"Nothing was tested: {gaps}."

    def _drawn(self) -> list[str]:
        if self.impossible:
            return [f"{self.impossible} of {self.tokens} tokens cannot come from the target's law"]
        count = sum(one.tested for one in self.comparisons)
        if not count:
            return []
        if self.failures:
            worst = self.failures[0]
            which = "" if worst.name in (worst.group, "all") else f" {worst.name}"
            return [
                f"{len(self.failures)} of {count} comparisons fail, first {worst.group}{which} "
                f"(chi-square {worst.statistic:.0f} in {worst.cells} cells, "
                f"p = {worst.p_value:.1e})"
            ]
        alarm, few = self.experiment["false_alarm"], len(self.comparisons) - count
        made = f"{count} comparisons" + (f" ({few} more had too few tokens)" if few else "")
        seen = sorted((p.sees, p.group) for p in self.power if p.sees is not None)
        (least, at), (most, last) = seen[0], seen[-1]
        return [
            f"{self.tokens} tokens agree with the target's law in all {made}: a lossless decoder "
            f"fails with chance {alarm:g}, and a law off by {100 * least:.2g} % ({at}) to "
            f"{100 * most:.2g} % ({last}) would show with chance 90 %"
        ]

    def _written(self) -> list[str]:
        if not self.greedy:
            return []
        wrong = [i for i, check in enumerate(self.greedy) if not check.passed]
        ties = sum(check.passed and not check.equal for check in self.greedy)
        one = len(self.greedy) == 1
        of = "1 greedy text" if one else f"{len(self.greedy)} greedy texts"
        if wrong:
            check = self.greedy[wrong[0]]
            return [f"{len(wrong)} of {of} wrong (prompt {wrong[0]}: {check})"]
        same = f"{of} {'equals' if one else 'equal'} plain decoding's"
        return [f"{same}, {ties} of them up to a tie within rounding" if ties else same]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "schema": SCHEMA,
            "version": 2,
            "run_id": run_id(self.experiment),
            "passed": self.passed,
            "outcome": self.outcome,
            "verdict": self.verdict,
            "engine": self.engine,
            "experiment": self.experiment,
            "plan": self._plan(),
            "tokens": self.tokens,
            "impossible": self.impossible,
            "rounded": self.rounded,
            "untested": list(self.untested),
            "power": [one.to_dict() for one in self.power],
            "groups": GROUPS,
            "comparisons": [one.to_dict() for one in self.comparisons],
            "greedy": [check.to_dict() for check in self.greedy],
            "provenance": self.provenance,
        }

    def _plan(self) -> dict[str, Any]:
        """What was fixed before anything was drawn; empty for greedy decoding."""
        if not self.comparisons:
            return {}
        return {
            "tokens": self.experiment["samples"] * self.experiment["max_tokens"],
            "comparisons": len(self.comparisons),
            "false_alarm": self.experiment["false_alarm"],
            "correction": "Bonferroni: a comparison fails below false_alarm / comparisons",
            "threshold": self.comparisons[0].threshold,
            "least_expected_in_a_cell": FREQUENT,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, whole or not at all."""
        write_json(path, self.to_dict())
