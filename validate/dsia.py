"""DSIA settings: ways to run a target faster and less exactly, each one a draft of that target.

"Dynamically switchable inference acceleration", Definition 4.1 of CAS-Spec (Ning, Shao, Xu, Guo,
Zhang, Zhang, Li, NeurIPS 2025, arXiv:2510.26843): a setting changes the target's inference, needs
no weights of its own, and is on or off from one pass to the next. Here a setting is frozen data;
`self_draft` turns it into a model over the target's own weights.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from cscalc._checks import check_choice, check_int, check_number

HIERARCHIES = ("mixing", "replacing", "scaling")


@dataclass(frozen=True, slots=True)
class LayerSkip:
    """Layer sparsity: some layers of the target are left out.

    Attributes
    ----------
    skipped : tuple of int
        Layers left out, counted from 0, or
    sparsity : float
        the share of layers left out, in (0, 1), spread evenly over all but the first and the
        last layer. `choose_layers` finds a better subset of the same size.

    Raises
    ------
    ValueError
        If both or neither are given, or a layer is negative or named twice.

    Examples
    --------
    >>> str(LayerSkip((3, 5, 9))), str(LayerSkip(sparsity=0.4))
    ('skip:3,5,9', 'skip:0.4')
    >>> LayerSkip(sparsity=0.4).layers(10)
    (2, 4, 6, 8)
    """

    skipped: tuple[int, ...] = ()
    _: KW_ONLY
    sparsity: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.skipped, tuple):  # a list would break hash()
            raise TypeError(f"skipped must be a tuple of layers, got {self.skipped!r}")
        if bool(self.skipped) == (self.sparsity is not None):
            raise ValueError(
                f"give one of skipped, sparsity; got {self.skipped=} {self.sparsity=}: "
                "LayerSkip((3, 5)) or LayerSkip(sparsity=0.4)"
            )
        for layer in self.skipped:
            check_int("a skipped layer", layer, least=0)
        if len(set(self.skipped)) < len(self.skipped):
            raise ValueError(f"skipped names a layer twice: {self.skipped}")
        if self.sparsity is not None:
            share = check_number("sparsity", self.sparsity, 0.0, 1.0)
            if not 0.0 < share < 1.0:
                raise ValueError(f"sparsity must be above 0 and below 1, got {share:g}")

    def __str__(self) -> str:
        if self.sparsity is not None:
            return f"skip:{self.sparsity:g}"
        return "skip:" + ",".join(str(layer) for layer in self.skipped)

    def layers(self, n_layers: int) -> tuple[int, ...]:
        """Return the layers that are left out of a target of `n_layers`, in order.

        Raises
        ------
        ValueError
            If there is no such layer, none would be skipped, or none would be left.
        """
        if self.sparsity is not None:
            return spread(count_skipped(self.sparsity, n_layers), n_layers)
        if beyond := [layer for layer in self.skipped if layer >= n_layers]:
            raise ValueError(
                f"{self} names layer {beyond[0]}, but the target has layers 0..{n_layers - 1}"
            )
        if len(self.skipped) >= n_layers:
            raise ValueError(
                f"{self} skips all {n_layers} layers of the target: keep at least one"
            )
        return tuple(sorted(self.skipped))


@dataclass(frozen=True, slots=True)
class EarlyExit:
    """Early exit: only the first layers run, then the target's last norm and head.

    Attributes
    ----------
    layers : int
        Layers that run, >= 1.
    head : str or None
        A safetensors file with an exit head of its own ("norm.weight", and "linear.weight" of a
        residual map before it); None uses the target's norm.

    Examples
    --------
    >>> str(EarlyExit(8))
    'exit:8'
    """

    layers: int
    head: str | None = None

    def __post_init__(self) -> None:
        check_int("layers of an early exit", self.layers, least=1)

    def __str__(self) -> str:
        return f"exit:{self.layers}" + ("" if self.head is None else f":{self.head}")


@dataclass(frozen=True, slots=True)
class Int8:
    """Activation and weight quantisation: linear layers multiply int8 by int8.

    Weights are quantised once by row, activations in every pass by position, both symmetric, so
    the law after a prefix does not depend on what else is in the pass. Embeddings, norms and
    biases are the target's own; the int8 weights are the one copy, of a quarter of the float32
    bytes.

    Attributes
    ----------
    head : bool
        Whether the output head is quantised too.

    Examples
    --------
    >>> str(Int8())
    'int8'
    """

    _: KW_ONLY
    head: bool = True

    def __str__(self) -> str:
        return "int8" if self.head else "int8:layers"


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """Efficient attention: each position sees the last ones only, and the first few.

    Attributes
    ----------
    size : int
        Positions seen, the token itself included, >= 1.
    sinks : int
        First positions of the text that stay in sight, >= 0; without a few of them attention of
        untrained models breaks down (Xiao et al., ICLR 2024, arXiv:2309.17453).

    Examples
    --------
    >>> str(SlidingWindow(256)), str(SlidingWindow(256, sinks=0))
    ('window:256', 'window:256:0')
    """

    size: int
    _: KW_ONLY
    sinks: int = 4

    def __post_init__(self) -> None:
        check_int("size of a sliding window", self.size, least=1)
        check_int("sinks", self.sinks, least=0)

    def __str__(self) -> str:
        return f"window:{self.size}" + ("" if self.sinks == 4 else f":{self.sinks}")


@dataclass(frozen=True, slots=True)
class Combined:
    """Several settings at once, at most one of each kind.

    Attributes
    ----------
    parts : tuple of settings
        Two or more; layers left out and an early exit are both counted in the target's layers.

    Raises
    ------
    ValueError
        If there are fewer than two parts, or two of one kind.

    Examples
    --------
    >>> str(Combined((LayerSkip((2, 4)), Int8())))
    'skip:2,4+int8'
    """

    parts: "tuple[LayerSkip | EarlyExit | Int8 | SlidingWindow, ...]"

    def __post_init__(self) -> None:
        if not isinstance(self.parts, tuple) or len(self.parts) < 2:
            raise ValueError(f"a combination needs a tuple of two settings, got {self.parts!r}")
        for part in self.parts:
            if not isinstance(part, LayerSkip | EarlyExit | Int8 | SlidingWindow):
                raise TypeError(f"a combination is made of simple settings, got {part!r}")
        kinds = [type(part).__name__ for part in self.parts]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"{self} holds two settings of one kind: keep one of them")

    def __str__(self) -> str:
        return "+".join(str(part) for part in self.parts)


Setting = LayerSkip | EarlyExit | Int8 | SlidingWindow | Combined


def parts_of(setting: Setting) -> tuple[LayerSkip | EarlyExit | Int8 | SlidingWindow, ...]:
    """Simple settings that `setting` is made of."""
    return setting.parts if isinstance(setting, Combined) else (setting,)


def combine(*settings: Setting) -> Setting:
    """Return all `settings` at once.

    Examples
    --------
    >>> str(combine(Int8(), SlidingWindow(64)))
    'int8+window:64'
    """
    parts = tuple(part for setting in settings for part in parts_of(setting))
    return parts[0] if len(parts) == 1 else Combined(parts)


def hierarchy(
    kind: Literal["mixing", "replacing", "scaling"], settings: Sequence[Setting]
) -> tuple[Setting, ...]:
    """Return drafts from dear to cheap, built in one of CAS-Spec's three ways (section 4.1).

    Parameters
    ----------
    kind : {"mixing", "replacing", "scaling"}
        Mixing puts each setting on top of those before it; replacing changes the kind of
        setting from draft to draft; scaling keeps the kind and turns it up.
    settings : sequence of settings
        The first is that of the dearest draft.

    Raises
    ------
    ValueError
        If the settings do not fit the kind.

    Returns
    -------
    tuple of settings

    Examples
    --------
    >>> [str(s) for s in hierarchy("mixing", [Int8(), LayerSkip(sparsity=0.5)])]
    ['int8', 'int8+skip:0.5']
    >>> [str(s) for s in hierarchy("scaling", [LayerSkip(sparsity=0.4), LayerSkip(sparsity=0.6)])]
    ['skip:0.4', 'skip:0.6']
    """
    check_choice("kind", kind, HIERARCHIES)
    if len(settings) < 2:
        raise ValueError(f"a hierarchy needs two settings or more, got {len(settings)}")
    kinds = [tuple(sorted(type(part).__name__ for part in parts_of(s))) for s in settings]
    if kind == "mixing":
        return tuple(combine(*settings[: end + 1]) for end in range(len(settings)))
    if kind == "replacing" and len(set(kinds)) < len(kinds):
        raise ValueError(
            f"replacing needs another kind of setting for every draft, got "
            f"{', '.join(map(str, settings))}: use scaling for one kind"
        )
    if kind == "scaling" and (len(set(kinds)) > 1 or len(set(settings)) < len(settings)):
        raise ValueError(
            f"scaling needs one kind of setting turned up from draft to draft, got "
            f"{', '.join(map(str, settings))}: use replacing for several kinds"
        )
    return tuple(settings)


def count_skipped(sparsity: float, n_layers: int) -> int:
    """Layers that a sparsity leaves out of `n_layers`, rounded.

    Raises
    ------
    ValueError
        If that is none of them, or all.

    Examples
    --------
    >>> count_skipped(0.4, 12)
    5
    """
    count = round(sparsity * n_layers)
    if count >= n_layers:
        raise ValueError(
            f"sparsity {sparsity:g} skips all {n_layers} layers of the target: "
            f"give at most {(n_layers - 1) / n_layers:.2f}"
        )
    if count == 0:
        raise ValueError(
            f"sparsity {sparsity:g} skips none of the {n_layers} layers of the target: "
            f"give at least {1 / n_layers:.2f}"
        )
    return count


def spread(count: int, n_layers: int) -> tuple[int, ...]:
    """`count` of `n_layers`, evenly spread, first and last layer last."""
    inner = list(range(1, n_layers - 1))
    if count > len(inner):
        return tuple(range(n_layers - count, n_layers))
    picks = [inner[(2 * i + 1) * len(inner) // (2 * count)] for i in range(count)]
    return tuple(picks)
