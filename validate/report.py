"""Prediction, simulation and measurement of one cascade, side by side, with the gap named."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cscalc._files import read_json, write_json
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.simulate.replay import replay_prompts
from validate.gap import (
    QUANTITIES,
    Estimate,
    Group,
    by_task,
    cycle_times,
    length_curves,
    make_group,
    named_terms,
    run_facts,
)

SCHEMA = "validate/report"


@dataclass(frozen=True, slots=True)
class Report:
    """See `report`; prints as a table, saves as JSON, shows as HTML."""

    cascade: Cascade
    names: tuple[str, ...]
    groups: tuple[Group, ...]
    tasks: tuple[dict[str, Any], ...]
    cycle: dict[str, dict[str, float]]
    residuals: tuple[dict[str, Any], ...]
    curves: dict[str, Any]
    run: dict[str, Any]

    def group(self, name: str) -> Group:
        """The group of that name."""
        return next(group for group in self.groups if group.name == name)

    @property
    def notes(self) -> list[str]:
        """Cautions, one sentence each: too few prompts, a run with other settings."""
        from validate.report_notes import notes  # it says what is defined here

        return notes(self.groups, self.run)

    def rows(self) -> list[tuple[str, ...]]:
        """The main table as text, header first."""
        rows: list[tuple[str, ...]] = [
            ("prompts", "quantity", "predicted, one rate", "predicted, own rates", "simulated",
             "measured", "gap")
        ]  # fmt: skip
        for group in self.groups:
            for quantity, label in QUANTITIES.items():
                parts = (group.pooled, group.own, group.simulated, group.measured)
                cells = [str(part[quantity]) for part in parts]
                gap = f"{100 * group.gap(quantity):+.1f} %"
                rows.append((f"{group.name} ({group.n_prompts})", label, *cells, gap))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""

        def numbers(part: Mapping[str, Estimate]) -> dict[str, list[float]]:
            return {name: estimate.to_list() for name, estimate in part.items()}

        return {
            "schema": SCHEMA,
            "version": 1,
            "cascade": self.cascade.to_dict(),
            "names": list(self.names),
            "groups": [
                {"name": g.name, "n_prompts": g.n_prompts, "pooled": numbers(g.pooled),
                 "own": numbers(g.own), "simulated": numbers(g.simulated),
                 "measured": numbers(g.measured), "n_measured": g.n_measured}
                for g in self.groups
            ],
            "tasks": list(self.tasks),
            "cycle": self.cycle,
            "residuals": list(self.residuals),
            "curves": self.curves,
            "run": self.run,
            "notes": self.notes,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "report") -> "Report":
        """Read what `to_dict` wrote."""
        if (
            not isinstance(data, Mapping)
            or data.get("schema") != SCHEMA
            or data.get("version") != 1
        ):
            raise ValueError(f'{source}: not a report ("schema" must be "{SCHEMA}", version 1)')

        def numbers(part: Mapping[str, Sequence[float]]) -> dict[str, Estimate]:
            return {name: Estimate(*values) for name, values in part.items()}

        try:
            groups = tuple(
                Group(g["name"], g["n_prompts"], numbers(g["pooled"]), numbers(g["own"]),
                      numbers(g["simulated"]), numbers(g["measured"]), g.get("n_measured"))
                for g in data["groups"]
            )  # fmt: skip
            return cls(
                Cascade.from_dict(data["cascade"]), tuple(data["names"]), groups,
                tuple(data["tasks"]), data["cycle"], tuple(data["residuals"]), data["curves"],
                data["run"],
            )  # fmt: skip
        except (KeyError, TypeError) as error:
            raise ValueError(f"{source}: incomplete report ({error}): make it again") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, whole or not at all."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Report":
        """Read JSON; the error says what is wrong with the file."""
        return cls.from_dict(read_json(path), source=str(Path(path)))

    def __repr__(self) -> str:
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows
        ]
        shown = [f"Report of {self.cascade}", *(line.rstrip() for line in lines)]
        return "\n".join([*shown, *(f"Note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        from validate.report_notebook import report_notebook  # it shows what is defined here

        return report_notebook(self)


def report(
    cascade: Cascade,
    profile: Profile,
    records: Sequence[Mapping[str, Any]],
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Report:
    """Set prediction, simulation and measurement of `cascade` side by side.

    Parameters
    ----------
    cascade : Cascade
        What was run.
    profile : Profile
        As `validate.measure` made it, with its records.
    records : sequence of dict
        As `validate.run` returned them.
    settings : mapping, optional
        What the run was: the experiment in the header of its log. Its models, sampling and
        cascade must be those of the profile and of `cascade`.
    seed : int
        Of the bootstrap and the simulation.

    Raises
    ------
    ValueError
        If the profile holds no measurement, there are no records, or the run was another one.

    Returns
    -------
    Report

    Notes
    -----
    Tokens per cycle of a set of prompts is all tokens over all cycles. The prediction with
    own rates replays the cascade on the measured text with acceptance as it was at every
    place (`cscalc.simulate.replay`). Measured intervals resample prompts (2,000 times, 95 %).
    The held-out prediction resamples the replays of the measured prompts, as many as were
    held out, adds the spread of the estimate itself in the same way, and takes 95 % of
    Student's t on the log scale, because measured prompts are few.
    """
    if profile.measurement is None or not profile.measurement.get("prompts"):
        raise ValueError("this profile holds no measurement: make it with `validate.measure`")
    if not records:
        raise ValueError("there are no run records: run the cascade first")
    measured_with = _settings(profile.measurement.get("experiment", {}))
    run_with = _settings(settings or {})
    _check_same_run(measured_with, run_with, cascade)
    rng = np.random.default_rng([seed, 0x5EED])
    own = replay_prompts(cascade, profile, rng=rng)
    measured_on = set(own)
    same = [r for r in records if r["question_id"] in measured_on]
    other = [r for r in records if r["question_id"] not in measured_on]
    groups = []
    for name, part in (("same", same), ("held-out", other)):
        if part:
            groups.append(make_group(name, cascade, profile, own, part, rng))
    chosen = same or other
    cycle = cycle_times(cascade, profile, own, chosen)
    return Report(
        cascade=cascade,
        names=profile.names,
        groups=tuple(groups),
        tasks=tuple(by_task(cascade, profile, own, records)),
        cycle=cycle,
        residuals=tuple(named_terms(cascade, profile, groups[0], cycle)),
        curves=length_curves(cascade, profile),
        run={
            "measured": profile.measurement.get("provenance", {}),
            "experiment": measured_with,
            "run": run_with,
            "prompts": len(records),
            "same_tokens": sum(bool(r["same_tokens"]) for r in records),
            **run_facts(chosen),
        },
    )


def _settings(experiment: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in experiment.items() if key != "prompts"}


def _check_same_run(measured: Mapping[str, Any], ran: Mapping[str, Any], cascade: Cascade) -> None:
    for field in ("models", "sampling"):
        if field in measured and field in ran and measured[field] != ran[field]:
            raise ValueError(
                f"the profile was measured with {field} {measured[field]}, but the run used "
                f"{ran[field]}: measure or run again with the same"
            )
    if "cascade" in ran and Cascade.from_dict(ran["cascade"]) != cascade:
        raise ValueError(
            f"the run is of {Cascade.from_dict(ran['cascade'])}, not of {cascade}: give its plan"
        )
