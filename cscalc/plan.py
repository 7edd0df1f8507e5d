"""A plan: the best cascade of a profile, its predicted numbers, and what it beat."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cscalc._files import read_json, write_json
from cscalc._html import paragraphs, scrolled, table
from cscalc._plan_words import sentences
from cscalc.cascade import Cascade
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
        """Best alternative that does not use `model`; plain decoding if none is known."""
        known = (one for one in self.alternatives if model not in one.cascade.models)
        return next(known, None) or Alternative.of(Cascade(()), self.profile)

    def cost_break_even(self, model: int) -> float:
        """Largest cost of `model` (target passes) at which this cascade, unchanged, still pays.

        At that cost the chosen cascade, with the lengths it has, is as fast as the best
        alternative without `model`. A dearer `model` may still pay with other lengths.
        """
        if model not in self.cascade.models:
            raise ValueError(f"model {model} is not in the chosen cascade {self.cascade}")
        law = self.law
        cost = self.profile.cost(model)
        passes = float(law.costs[model]) / cost if cost else float(law.passes[model])
        others = law.cost - float(law.costs[model])
        return (law.mean / self.best_without(model).ewif - others) / passes

    def explain(self) -> str:
        """Say in words what was chosen, on which rates, against what, and how surely."""
        return "\n".join(sentences(self))

    def __hash__(self) -> int:
        return hash((self.profile, self.cascade, self.ewif))  # `limits` is a dict

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
