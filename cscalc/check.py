"""Does theory hold? Exact laws against simulation, on random cascades and profiles."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cscalc._check_cases import PLANTS, random_case, simulate_with
from cscalc._checks import check_choice, check_int, check_number
from cscalc._files import check_folder
from cscalc.cascade import Cascade
from cscalc.goodness import chi_square, false_alarm, z_score
from cscalc.profile import Profile
from cscalc.simulate.agreement import Agreement, agreement
from cscalc.simulate.events import simulate
from cscalc.theory.law import cycle_law

KINDS = ("tokens", "cost", "ewif", "lengths")  # comparisons of one cascade
PLANT_CYCLES = 5000  # a planted error runs in plain Python, and shows in a few cycles
EXPECTED = 25.0  # cycles in a bin of the histogram, or bins are merged
UNSEEN = 3.0  # cycles that may hide a rare cost: see the notes of `check`
PICTURES = (".pdf", ".png", ".svg")
OFF_PAPER = 1e-20  # smaller p-values are drawn here


@dataclass(frozen=True, slots=True)
class Row:
    """One cascade, predicted and simulated.

    Attributes
    ----------
    cascade : Cascade
    profile : Profile
    predicted, simulated : tuple of float
        Tokens per cycle, cost of a cycle (target passes), EWIF.
    found : Agreement
        How far they lie apart, in sigmas.
    """

    cascade: Cascade
    profile: Profile
    predicted: tuple[float, float, float]
    simulated: tuple[float, float, float]
    found: Agreement

    @property
    def p_values(self) -> dict[str, float]:
        """Chance of an error at least as large if theory holds, by comparison."""
        zs = (self.found.z_tokens, self.found.z_cost, self.found.z_ewif)
        return dict(zip(KINDS, [*map(false_alarm, zs), self.found.lengths.p_value], strict=True))


@dataclass(frozen=True, slots=True)
class Check:
    """Comparisons of exact laws with simulation, and whether they hold together.

    Attributes
    ----------
    rows : tuple of Row
        One a cascade, four comparisons each.
    cycles, seed, plant
        As given to `check`; `cycles` is what was run per cascade.
    alarm : float
        Chance of a false alarm in all comparisons together.
    """

    rows: tuple[Row, ...]
    cycles: int
    seed: int
    alarm: float
    plant: str | None

    @property
    def comparisons(self) -> int:
        """Four a cascade: tokens, cost, EWIF, histogram of emitted lengths."""
        return len(KINDS) * len(self.rows)

    @property
    def threshold(self) -> float:
        """Smallest p-value that is no alarm (Bonferroni): `alarm` over `comparisons`."""
        return self.alarm / self.comparisons

    @property
    def worst(self) -> float:
        """Smallest p-value of all comparisons."""
        return min(min(row.p_values.values()) for row in self.rows)

    @property
    def holds(self) -> bool:
        """Whether no comparison is beyond the threshold."""
        return self.worst >= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "holds": self.holds,
            "alarm": self.alarm,
            "comparisons": self.comparisons,
            "threshold": self.threshold,
            "worst_p": self.worst,
            "beyond": sum(p < self.threshold for row in self.rows for p in row.p_values.values()),
            "cycles": self.cycles,
            "seed": self.seed,
            "plant": self.plant,
            "rows": [
                {
                    "cascade": row.cascade.to_dict()["drafts"],
                    "acceptance": row.profile.acceptance.kind,
                    "predicted": dict(zip(KINDS, row.predicted, strict=False)),
                    "simulated": dict(zip(KINDS, row.simulated, strict=False)),
                    "p_values": row.p_values,
                }
                for row in self.rows
            ],
        }

    def table(self, most: int = 40) -> Any:
        """Return a `rich.table.Table`: at most `most` cascades, those that agree least."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        check_int("most", most, least=1)
        rows = sorted(self.rows, key=lambda row: min(row.p_values.values()))[:most]
        table = Table(title=self._title(), caption=self.verdict(), box=SIMPLE_HEAD)
        table.add_column("cascade", overflow="fold")
        for name in ("tokens", "seen", "z", "cost", "seen", "z", "EWIF", "seen", "z", "lengths p"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            cells = [str(row.cascade)]
            zs = (row.found.z_tokens, row.found.z_cost, row.found.z_ewif)
            for predicted, simulated, z in zip(row.predicted, row.simulated, zs, strict=True):
                cells += [f"{predicted:.3f}", f"{simulated:.3f}", f"{z:+.2f}"]
            beyond = min(row.p_values.values()) < self.threshold
            style = "bold red" if beyond else None
            table.add_row(*cells, f"{row.found.lengths.p_value:.2g}", style=style)
        return table

    def _title(self) -> str:
        plant = "" if self.plant is None else f", planted error: {self.plant}"
        return (
            f"{len(self.rows)} random cascades, by exact law and as seen in {self.cycles:,} "
            f"simulated cycles each; seed {self.seed}{plant}"
        )

    def verdict(self) -> str:
        """Say in one sentence whether theory holds."""
        said = "theory and simulation agree" if self.holds else "theory and simulation DISAGREE"
        return (
            f"{said}: the smallest of {self.comparisons} p-values is {self.worst:.2g}, and one "
            f"below {self.threshold:.2g} is an alarm (false-alarm rate of all: {self.alarm:g})"
        )

    def picture(self, path: str | os.PathLike[str]) -> None:
        """Draw p-values against what a right theory gives (QQ), as .png, .svg or .pdf."""
        target = check_picture(path)
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError:
            raise ValueError(
                "a picture needs matplotlib: pip install 'cscalc[plot]', or ask for none"
            ) from None

        figure = Figure(figsize=(5.0, 5.0), layout="constrained")
        axes = figure.subplots()
        for kind, marker in zip(KINDS, "os^D", strict=True):
            p_values = [row.p_values[kind] for row in self.rows]
            seen = np.sort([p for p in p_values if p < 1.0])  # 1: nothing varies
            wanted = (np.arange(seen.size) + 0.5) / max(1, seen.size)  # of the uniform law
            axes.loglog(
                wanted, np.maximum(seen, OFF_PAPER), marker, markersize=4, alpha=0.7, label=kind
            )
        low = 0.5 / len(self.rows)
        axes.plot([low, 1.0], [low, 1.0], color="black", linewidth=0.8)
        axes.axhline(self.threshold, color="tab:red", linestyle="--", linewidth=0.8)
        axes.annotate("alarm", (1.0, self.threshold), ha="right", va="bottom", color="tab:red")
        axes.set(
            xlabel="p-value, if theory holds", ylabel="p-value, seen",
            title=f"{len(self.rows)} cascades, {self.cycles:,} cycles each",
        )  # fmt: skip
        axes.legend()
        figure.savefig(target)


def check(
    n_cascades: int = 20,
    n_cycles: int = 100_000,
    *,
    seed: int,
    alarm: float = 1e-3,
    plant: str | None = None,
) -> Check:
    """Draw random cascades and profiles, and compare exact law and simulation.

    Parameters
    ----------
    n_cascades : int
        Cascades to draw, at least 1; each has its own profile and acceptance model
        (independent, by position, or conditional on the inner review).
    n_cycles : int
        Cycles to simulate for each, at least 1000, so that means are near normal.
    seed : int
        Of cascades, profiles and coins, >= 0.
    alarm : float
        Chance of a false alarm in all comparisons together, in (0, 1).
    plant : {"bonus", "verify", "after-rejection"}, optional
        Simulate with an error, to see that it is caught: the target's bonus token is dropped,
        its verification costs nothing, or proposals after a rejected one still count. Runs
        in plain Python, at most 5,000 cycles a cascade.

    Returns
    -------
    Check

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Means are compared by z-scores, emitted lengths by Pearson's chi-square with bins that
    expect 25 cycles or more; each of the four p-values per cascade is held against `alarm`
    over their number (Bonferroni). A cost may hang on an outcome too rare to be seen, so its
    sigma is taken no smaller than three cycles' worth of cost in all.

    Examples
    --------
    >>> check(2, 5000, seed=1).holds
    True
    >>> check(5, 2000, seed=1, plant="bonus").holds
    False
    """
    n_cascades = check_int("n_cascades", n_cascades, least=1)
    n_cycles = check_int("n_cycles", n_cycles, least=1000)
    seed = check_int("seed", seed, least=0)
    if not 0.0 < check_number("alarm", alarm) < 1.0:
        raise ValueError(f"alarm must lie strictly between 0 and 1, got {alarm:g}: try 0.001")
    if plant is not None:
        check_choice("plant", plant, PLANTS)
        n_cycles = min(n_cycles, PLANT_CYCLES)
    rows = []
    for rng in np.random.default_rng(seed).spawn(n_cascades):
        cascade, profile = random_case(rng)
        rows.append(compare_one(cascade, profile, n_cycles, rng, plant))
    return Check(tuple(rows), n_cycles, seed, alarm, plant)


def compare_one(
    cascade: Cascade,
    profile: Profile,
    n_cycles: int,
    rng: np.random.Generator,
    plant: str | None = None,
) -> Row:
    """Compare law and simulation of one cascade; arguments as for `check`."""
    law = cycle_law(cascade, profile)
    if plant is None:
        tally = simulate(cascade, profile, n_cycles, rng=rng)
    else:
        tally = simulate_with(plant, cascade, profile, n_cycles, rng)
    found = agreement(tally, law.pmf, law.cost)
    if found.z_cost:  # 0: without spread, and right
        least = UNSEEN * law.cost / tally.cycles
        z = z_score(tally.cost_per_cycle - law.cost, max(tally.cost_sigma, least))
        found = replace(found, z_cost=z)
    found = replace(found, lengths=chi_square(tally.counts, law.pmf, min_expected=EXPECTED))
    return Row(
        cascade,
        profile,
        (law.mean, law.cost, law.ewif),
        (tally.tokens_per_cycle, tally.cost_per_cycle, tally.ewif),
        found,
    )


def check_picture(path: str | os.PathLike[str]) -> Path:
    """Return `path` if a picture can be written there; ValueError says why not."""
    target = Path(path)
    if target.suffix not in PICTURES:
        raise ValueError(f"picture must end in {', '.join(PICTURES)}, got {str(path)!r}")
    check_folder(target)
    return target
