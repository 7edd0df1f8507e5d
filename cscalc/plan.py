"""A plan: the best cascade of a profile, its predicted numbers, and what it beat."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cscalc._files import read_json, write_json
from cscalc._html import paragraphs, scrolled, table
from cscalc.cascade import Cascade, describe
from cscalc.diagram import cascade_svg
from cscalc.profile import Profile
from cscalc.theory.law import CycleLaw, cycle_law

if TYPE_CHECKING:
    from cscalc.export import EngineSettings

SCHEMA = "cscalc/plan"


@dataclass(frozen=True, slots=True)
class Alternative:
    """The best cascade of one kind and set of models, with its predicted numbers."""

    cascade: Cascade
    ewif: float  # tokens per target-pass time
    tokens_per_cycle: float
    cycle_cost: float  # target passes

    @property
    def kind(self) -> str:
        """Kind of the cascade: plain, speculative, horizontal, vertical or nested."""
        return self.cascade.kind

    @classmethod
    def of(cls, cascade: Cascade, profile: Profile) -> "Alternative":
        """Evaluate `cascade` on `profile`."""
        law = cycle_law(cascade, profile)
        return cls(cascade, law.ewif, law.mean, law.cost)


class Ranking(tuple[Alternative, ...]):
    """Alternatives, best first; prints as a table."""

    __slots__ = ()

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield header and rows as text."""
        yield ("EWIF", "tokens/cycle", "cost/cycle", "kind", "cascade")
        for one in self:
            numbers = (one.ewif, one.tokens_per_cycle, one.cycle_cost)
            yield (*(f"{x:.4f}" for x in numbers), one.kind, str(one.cascade))

    def __repr__(self) -> str:
        rows = list(self.rows())
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows]
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        return table(self.rows())


@dataclass(frozen=True, slots=True)
class Plan:
    """The best cascade found for a profile.

    Attributes
    ----------
    profile : Profile
        What the choice rests on.
    cascade : Cascade
        The choice; ``Cascade(())`` means plain decoding.
    ewif, tokens_per_cycle, cycle_cost : float
        Predicted: tokens per target-pass time, tokens per cycle, target passes per cycle.
    alternatives : Ranking
        The best cascade of each kind and set of models, best first.
    limits : dict
        Within which limits `cascade` is the best, whether that is "proved", and a "bound" that
        the EWIF of no cascade within them exceeds (None if none is known).

    Examples
    --------
    >>> from cscalc import optimal_config
    >>> plan = optimal_config([0.8, 0.3], [0.2, 0.001], one_shot=(2,))
    >>> plan.kind, plan.k_matrix, round(plan.ewif, 4), round(plan.best_without(2).ewif, 4)
    ('nested', None, 2.249, 1.8676)
    >>> print(plan.explain().splitlines()[0])
    Best: [draft 1 reviews draft 2:10] until 4 + draft 2:13 (nested).
    """

    profile: Profile
    cascade: Cascade
    ewif: float
    tokens_per_cycle: float
    cycle_cost: float
    alternatives: Ranking
    limits: dict[str, Any]

    @property
    def kind(self) -> str:
        """Kind of the chosen cascade."""
        return self.cascade.kind

    @property
    def k_matrix(self) -> list[list[int]] | None:
        """CS Drafting's incremental K matrix, or None where the cascade has no such form."""
        return self.cascade.to_k_matrix()

    @property
    def law(self) -> CycleLaw:
        """Exact law of one cycle of the chosen cascade."""
        return cycle_law(self.cascade, self.profile)

    def best_without(self, model: int) -> Alternative:
        """Best alternative that does not use `model`."""
        return next(one for one in self.alternatives if model not in one.cascade.models)

    def cost_break_even(self, model: int) -> float:
        """Largest cost of `model` (target passes) at which this cascade still pays.

        At that cost the chosen cascade is as fast as the best alternative without `model`.
        """
        if model not in self.cascade.models:
            raise ValueError(f"model {model} is not in the chosen cascade {self.cascade}")
        law = self.law
        cost = self.profile.cost(model)
        passes = float(law.costs[model]) / cost if cost else float(law.passes[model])
        others = law.cost - float(law.costs[model])
        return (law.mean / self.best_without(model).ewif - others) / passes

    def explain(self) -> str:
        """Say in words what was chosen, against what, and which term decides."""
        names, law = self.profile.names, self.law
        own = self.limits.get("own_rates")
        head = "Best" if own is None else f"Chosen on {self.limits['chosen_on']}"
        lines = [f"{head}: {self._shown(self.cascade)} ({self.kind})."]
        if own is not None:
            lines.append(
                f"EWIF {own['ewif']:.4g} over these prompts: {own['tokens_per_cycle']:.4g} tokens "
                f"per cycle / {own['cycle_cost']:.4g} target passes per cycle."
            )
        at_one_rate = "" if own is None else " with one rate for all prompts"
        lines.append(
            f"EWIF {self.ewif:.4g}{at_one_rate} = {law.mean:.4g} tokens per cycle / "
            f"{law.cost:.4g} target passes per cycle."
        )
        spent = [(float(c), names[m]) for m, c in enumerate(law.costs) if c > 0.0]
        parts = ", ".join(f"{name} {100 * c / law.cost:.1f} %" for c, name in sorted(spent)[::-1])
        lines.append(f"Where a cycle's time goes: {parts}.")
        if own is None:
            lines += [self._verdict(model) for model in range(1, self.profile.n_drafts + 1)]
        elif self.alternatives[0].cascade != self.cascade:
            top = self.alternatives[0]
            lines.append(
                f"With one rate for all prompts {self._shown(top.cascade)} would look better "
                f"(EWIF {top.ewif:.4g}); prompts on which it accepts little have most of the "
                f"cycles, which one rate hides."
            )
        return "\n".join([*lines, *self._optimality()])

    def _optimality(self) -> Iterator[str]:
        """How far from the best the plan can be, if that is known."""
        bound = self.limits.get("bound")
        if "own_rates" in self.limits or bound is None:
            return
        if self.limits.get("proved"):
            yield "It is proved the best within its limits."
        else:
            yield (
                f"Not proved the best: no cascade within its limits exceeds EWIF {bound:.6g} "
                f"({100 * (bound / self.ewif - 1):.2g} % more)."
            )

    def _verdict(self, model: int) -> str:
        name = self.profile.names[model]
        if model in self.cascade.models:
            rival = self.best_without(model)
            return (
                f"{name} pays: without it the best is {self._shown(rival.cascade)} at EWIF "
                f"{rival.ewif:.4g}; it would still pay up to a cost of "
                f"{self.cost_break_even(model):.4g} (now {self.profile.cost(model):.4g})."
            )
        rival_with = next((a for a in self.alternatives if model in a.cascade.models), None)
        if rival_with is None:
            return f"{name} does not pay."
        return (
            f"{name} does not pay: its best use, {self._shown(rival_with.cascade)}, gives "
            f"{rival_with.ewif:.4g}."
        )

    def _shown(self, cascade: Cascade) -> str:
        return describe(cascade.drafts, self.profile.names) or "plain decoding"

    def __repr__(self) -> str:
        return (
            f"Plan({self.cascade}, kind={self.kind!r}, ewif={self.ewif:.4f}, "
            f"tokens_per_cycle={self.tokens_per_cycle:.4f}, cycle_cost={self.cycle_cost:.4f})"
        )

    def _repr_html_(self) -> str:
        profile = self.profile
        drawn = scrolled(cascade_svg(self.cascade, profile.names, one_shot=profile.one_shot))
        said = paragraphs(self.explain().splitlines())
        return f"<div>{drawn}{said}{self.alternatives._repr_html_()}</div>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` reads it back."""
        return {
            "schema": SCHEMA,
            "version": 1,
            "cascade": self.cascade.to_dict(),
            "ewif": self.ewif,
            "tokens_per_cycle": self.tokens_per_cycle,
            "cycle_cost": self.cycle_cost,
            "kind": self.kind,
            "alternatives": [
                {"cascade": a.cascade.to_dict(), "kind": a.kind, "ewif": a.ewif,
                 "tokens_per_cycle": a.tokens_per_cycle, "cycle_cost": a.cycle_cost}
                for a in self.alternatives
            ],
            "limits": self.limits,
            "profile": self.profile.to_dict(),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "plan") -> "Plan":
        """Read what `to_dict` wrote; the numbers are computed again from the profile."""
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            raise ValueError(f'{source}: not a plan ("schema" must be "{SCHEMA}")')
        if data.get("version") != 1:
            raise ValueError(
                f"{source}: plan version {data.get('version')!r} is unknown: update cscalc"
            )
        if missing := {"cascade", "profile"} - set(data):
            raise ValueError(
                f"{source}: {' and '.join(sorted(missing))} missing: make the plan again"
            )
        try:
            profile = Profile.from_dict(data["profile"], source="its profile")
            cascade = Cascade.from_dict(data["cascade"])
            others = [Cascade.from_dict(one["cascade"]) for one in data.get("alternatives", [])]
            ranking = [Alternative.of(one, profile) for one in others]
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{source}: {error}") from error
        return make_plan(profile, cascade, ranking, dict(data.get("limits", {})))

    def export(self, engine: str, **options: Any) -> "EngineSettings":
        """Settings that run this plan, or its best alternative there, in another engine.

        Parameters
        ----------
        engine : {"transformers", "vllm", "sglang", "llama.cpp"}
            What is to run it.
        **options
            As `cscalc.export.export` takes them: `checkpoints`, `lookup`, `batch_lengths`.

        Returns
        -------
        EngineSettings
            ``print`` it, or read ``.settings``; ``.notes`` says what the engine cannot run.
        """
        from cscalc.export import export

        return export(self, engine, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, whole or not at all."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Plan":
        """Read JSON; ValueError (or FileNotFoundError) says what is wrong with the file."""
        return cls.from_dict(read_json(path), source=str(Path(path)))


def make_plan(
    profile: Profile, cascade: Cascade, others: list[Alternative], limits: dict[str, Any]
) -> Plan:
    """Evaluate `cascade` on `profile` and rank it among `others`."""
    chosen = Alternative.of(cascade, profile)
    known = {one.cascade: one for one in (*others, chosen)}
    ranking = Ranking(sorted(known.values(), key=lambda one: -one.ewif))
    return Plan(
        profile, cascade, chosen.ewif, chosen.tokens_per_cycle, chosen.cycle_cost, ranking, limits
    )
