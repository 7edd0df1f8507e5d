"""What is known of a set of models: acceptance rates, costs, verification cost, and evidence."""

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_costs, check_int
from cscalc._files import read_json, write_json
from cscalc._pairs import alpha_matrix, frozen
from cscalc._verify_costs import (
    Curve,
    Verify,
    checked_curves,
    curves_from_json,
    portable,
    tabulated,
    unpacked,
)
from cscalc.acceptance import Acceptance, Independent
from cscalc.cascade import Cascade, Review, walk

SCHEMA = "cscalc/profile"
TABULATE = 256  # positions at which a callable verification cost is written to JSON


class Profile:
    r"""Acceptance rates and costs of a target (model 0) and its drafts (models 1..n).

    Parameters
    ----------
    alphas : array_like, shape (n + 1, n + 1) or (n,)
        ``alphas[i, j]`` is the acceptance rate, in [0, 1], of model j's tokens when model i
        reviews them; only ``i < j`` is read. A vector holds the rates by the target, and
        inner rates are then set equal to the target's (the assumption of CAS-Spec's
        effective bounds, arXiv:2510.26843).
    costs : array_like, shape (n,)
        ``costs[j - 1]`` is one pass of model j in target passes (c), finite and >= 0.
    one_shot : iterable of int
        Models whose call costs one pass however many tokens it proposes (Max-Gram, prompt
        lookup). They cannot review.
    verify : None, array_like, callable, or mapping from model to array_like or callable
        Cost of a reviewing pass over m positions, in that model's own one-position passes.
        None: always 1. An array holds m = 1, 2, 3, ... in order, so its first entry is 1;
        a callable takes m. An array or callable alone is the target's.
    names : sequence of str, optional
        Names of models 0..n, for display.
    measurement : mapping, optional
        JSON data behind the numbers: counts per prompt, pass times, provenance.
    acceptance : Acceptance
        What decides whether a token is accepted; `Independent()` is the papers' own. See
        `cscalc.acceptance`.

    Raises
    ------
    TypeError, ValueError
        One sentence that names the field, the value and the remedy.

    Examples
    --------
    >>> profile = Profile([0.8, 0.5], [0.2, 0.01], one_shot=[2])
    >>> float(profile.alphas[1, 2])
    0.5
    >>> profile.pass_cost(0, 5)
    1.0
    """

    __slots__ = (
        "_curves", "acceptance", "alphas", "costs", "measurement", "names", "one_shot", "verify",
    )  # fmt: skip

    alphas: Floats  # (n + 1, n + 1), read-only
    costs: Floats  # (n,), read-only
    one_shot: tuple[int, ...]
    verify: Mapping[int, Floats | Curve]
    names: tuple[str, ...]
    measurement: dict[str, Any] | None
    acceptance: Acceptance
    _curves: dict[Any, Any]  # what was tabulated

    def __init__(
        self,
        alphas: npt.ArrayLike,
        costs: npt.ArrayLike,
        *,
        one_shot: Iterable[int] = (),
        verify: Verify = None,
        names: Sequence[str] | None = None,
        measurement: Mapping[str, Any] | None = None,
        acceptance: Acceptance = Independent(),  # noqa: B008 - frozen
    ) -> None:
        set_field = object.__setattr__
        cost_array = check_costs("costs", costs)
        if cost_array.ndim != 1:
            raise ValueError(f"costs must be a vector, one entry a draft, got {costs!r}")
        n_drafts = cost_array.size
        set_field(self, "costs", frozen(cost_array))
        set_field(self, "alphas", frozen(alpha_matrix("alphas", alphas, n_drafts)))
        set_field(self, "one_shot", _one_shot(one_shot, n_drafts))
        curves = checked_curves(verify, n_drafts, self.one_shot)
        set_field(self, "verify", MappingProxyType(curves))
        set_field(self, "names", _names(names, n_drafts))
        set_field(self, "measurement", _measurement(measurement))
        if not isinstance(acceptance, Acceptance):
            raise TypeError(
                f"acceptance must be an acceptance model such as Independent(), got {acceptance!r}"
            )
        acceptance.check(n_drafts)
        set_field(self, "acceptance", acceptance)
        set_field(self, "_curves", {})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Profile is frozen, so {name} cannot be set: make a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Profile is frozen, so {name} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (
            np.array(self.alphas), np.array(self.costs), self.one_shot, portable(self.verify),
            self.names, self.measurement, self.acceptance,
        )  # fmt: skip

    def __copy__(self) -> "Profile":
        return self  # frozen

    def __deepcopy__(self, memo: dict[int, Any]) -> "Profile":
        return _rebuild(
            self.alphas, self.costs, self.one_shot, dict(self.verify), self.names,
            copy.deepcopy(self.measurement, memo), self.acceptance,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.alphas.tobytes(), self.costs.tobytes(), self.one_shot))

    def __repr__(self) -> str:
        rows = [", ".join(f"{a:.4g}" for a in row[i + 1 :]) for i, row in enumerate(self.alphas)]
        upper = "; ".join(row for row in rows if row)
        costs = ", ".join(f"{c:.4g}" for c in self.costs)
        extra = f", one_shot={self.one_shot}" if self.one_shot else ""
        extra += f", verify for models {sorted(self.verify)}" if self.verify else ""
        extra += "" if isinstance(self.acceptance, Independent) else f", {self.acceptance!r}"
        return f"Profile(alphas=[{upper}], costs=[{costs}]{extra})"

    def _repr_html_(self) -> str:
        from cscalc._notebook import profile_html  # it shows what is defined here

        return profile_html(self)

    @property
    def n_drafts(self) -> int:
        """Number of drafts n."""
        return int(self.costs.size)

    def cost(self, model: int) -> float:
        """One one-position pass of `model`, in target passes (1 for the target)."""
        return 1.0 if model == 0 else float(self.costs[model - 1])

    def pass_cost(self, model: int, positions: int) -> float:
        """Cost of one pass of `model` over `positions` tokens, in target passes."""
        check_int("positions", positions, least=1)
        return self.cost(model) * float(self.verify_costs(model, positions)[positions])

    def max_positions(self, model: int) -> int | None:
        """Most positions at which the verification cost of `model` is known; None: no limit."""
        curve = self.verify.get(model)
        return None if curve is None or callable(curve) else int(curve.size)

    def verify_costs(self, model: int, most: int) -> Floats:
        """V(m) of `model` for m = 0..most, in its own passes, shape (most + 1,); V(0) = 0.

        Raises
        ------
        ValueError
            If `verify` is an array that ends before `most` positions, or a callable that
            returns something not finite and > 0.
        """
        known: Floats | None = self._curves.get(model)
        if known is None or known.size <= most:
            known = frozen(tabulated(self.verify.get(model), model, max(most, 32)))
            self._curves[model] = known
        if known.size <= most:
            raise ValueError(
                f"verify of model {model} is known up to {known.size - 1} positions, but this "
                f"cascade can review {most}: measure further or shorten the drafts"
            )
        return known[: most + 1]

    def check(self, cascade: Cascade) -> None:
        """Raise ValueError if `cascade` uses a model or a length that this profile lacks."""
        for segment in walk(cascade.drafts):
            if segment.model > self.n_drafts:
                raise ValueError(
                    f"the cascade uses model {segment.model}, but the profile has drafts "
                    f"1..{self.n_drafts}: add its alphas and costs, or use a model it has"
                )
            if isinstance(segment, Review) and segment.model in self.one_shot:
                raise ValueError(
                    f"model {segment.model} is one-shot and cannot review: let it draft instead"
                )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; a callable verification cost is tabulated to m = 256.

        Without "acceptance", acceptance is independent.
        """
        verify = {
            str(model): [float(v) for v in self.verify_costs(model, self._known(model))[1:]]
            for model in sorted(self.verify)
        }
        model = self.acceptance
        extra = {} if isinstance(model, Independent) else {"acceptance": model.to_dict()}
        return {
            "schema": SCHEMA,
            "version": 1,
            "alphas": self.alphas.tolist(),
            "costs": self.costs.tolist(),
            "one_shot": list(self.one_shot),
            "verify": verify,
            "names": list(self.names),
            "measurement": self.measurement,
            **extra,
        }

    def _known(self, model: int) -> int:
        known = self.max_positions(model)
        return TABULATE if known is None else known

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "profile") -> "Profile":
        """Read what `to_dict` wrote; ValueError names `source` and the field."""
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            raise ValueError(f'{source}: not a profile ("schema" must be "{SCHEMA}")')
        if data.get("version") != 1:
            raise ValueError(
                f"{source}: profile version {data.get('version')!r} is unknown: update cscalc"
            )
        if missing := {"alphas", "costs"} - set(data):
            raise ValueError(f"{source}: {' and '.join(sorted(missing))} missing: measure again")
        try:
            return cls(
                data["alphas"],
                data["costs"],
                one_shot=data.get("one_shot", ()),
                verify=curves_from_json(data.get("verify", {})),
                names=data.get("names"),
                measurement=data.get("measurement"),
                acceptance=Acceptance.from_dict(data.get("acceptance")),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{source}: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, whole or not at all."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Profile":
        """Read JSON; ValueError (or FileNotFoundError) says what is wrong with the file."""
        return cls.from_dict(read_json(path), source=str(Path(path)))


def _rebuild(
    alphas: Floats,
    costs: Floats,
    one_shot: tuple[int, ...],
    verify: Any,
    names: tuple[str, ...],
    measurement: Any,
    acceptance: Acceptance,
) -> Profile:
    return Profile(
        alphas, costs, one_shot=one_shot, verify=unpacked(verify), names=names,
        measurement=measurement, acceptance=acceptance,
    )  # fmt: skip


def _measurement(measurement: object) -> dict[str, Any] | None:
    if measurement is not None and not isinstance(measurement, Mapping):
        raise TypeError(f"measurement must be a mapping, got {str(measurement)[:80]}")
    return None if measurement is None else dict(measurement)


def _one_shot(one_shot: Iterable[int], n_drafts: int) -> tuple[int, ...]:
    if isinstance(one_shot, str) or not isinstance(one_shot, Iterable):
        raise TypeError(f"one_shot must be a collection of models such as (2,), got {one_shot!r}")
    models = tuple(sorted({check_int("one_shot", model, least=1) for model in one_shot}))
    if models and models[-1] > n_drafts:
        raise ValueError(f"one_shot names model {models[-1]}, but there are drafts 1..{n_drafts}")
    return models


def _names(names: Sequence[str] | None, n_drafts: int) -> tuple[str, ...]:
    if names is None:
        return ("target", *(f"draft {j}" for j in range(1, n_drafts + 1)))
    known = not isinstance(names, str) and isinstance(names, Iterable)
    if not known or len(names) != n_drafts + 1:
        raise ValueError(f"names must have {n_drafts + 1} entries (target first), got {names!r}")
    return tuple(str(name) for name in names)
