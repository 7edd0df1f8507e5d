"""Models whose passes have fixed shapes, so that they can be compiled and replayed as CUDA graphs.

A pass over m positions runs at the next of a few widths; what pads it is written behind the
text, where the next pass overwrites it. Caches are allocated once, and going back is an index.
On a CPU the same code runs without graphs.
"""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from cscalc._checks import check_int
from validate.fused_linears import fuse_linears, use_grouped_attention
from validate.models import (
    LanguageModel,
    Models,
    TransformersModel,
    TransformersSession,
    near,
    refused,
    trial_tokens,
)
from validate.packing import PackedLinear
from validate.recorded import NotRecordable, Recordable
from validate.static_cache import STEP, windows_of
from validate.static_session import Lane, StaticSession

ENGINES = ("eager", "static", "graphs", "compiled")
WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 32, 128)
COMPILED_WIDTHS = (1, 2, 4, 8, 16, 32)  # each is compiled by itself, which takes long
MOST_POSITIONS = 4096  # of a sequence, unless said otherwise: the whole cache is allocated
SLACK = 64
KEPT_LANES = 2  # idle lanes that a model keeps for later sequences
COMPILE_MODES = {
    "default": "default",
    "reduce-overhead": "default",  # its graphs are what the engine records itself
    "max-autotune": "max-autotune-no-cudagraphs",
}


@dataclass(frozen=True, slots=True)
class Engine:
    """How passes of a `CompiledModel` run.

    Attributes
    ----------
    graphs : bool
        Record every width as a CUDA graph and replay it.
    compile : str or None
        torch.compile: "default", "reduce-overhead" or "max-autotune"; None for none.
    widths : tuple of int
        Positions of a pass, ascending from 1, from any sequence of int; a pass is padded to
        the next of them, and longer texts are read in pieces of the last.
    max_length : int or None
        Tokens that a sequence may hold, at most the model's own limit; None: that limit or
        4096, whichever is less. Keys and values of so many positions are allocated.
    slack : int
        Tokens that a sequence can surely go back where layers keep a sliding window only.
    first_reach : int
        Positions that a pass reads at least, a multiple of 256; twice as many when the text
        outgrows them, and so on: every reach is recorded and compiled by itself.
    fuse : bool
        Let projections of one input share a matrix product (see `validate.fused_linears`);
        the module is changed in place, its numbers by rounding only.
    grouped : bool
        Attention that makes no copy of keys for heads that share them, also in place.

    Raises
    ------
    TypeError, ValueError
        One sentence: the field, its value, what is right.

    Examples
    --------
    >>> Engine(widths=(1, 2, 4, 8), max_length=2048).slack
    64
    """

    graphs: bool = False
    compile: str | None = None
    widths: tuple[int, ...] = WIDTHS
    max_length: int | None = None
    slack: int = SLACK
    first_reach: int = STEP
    fuse: bool = False
    grouped: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.widths, Iterable):
            raise TypeError(f"widths must be a sequence of int, got {self.widths!r}")
        widths = tuple(check_int("widths", width, least=1) for width in self.widths)
        if widths[:1] != (1,) or sorted(set(widths)) != list(widths):
            raise ValueError(f"widths must ascend from 1, got {widths}")
        object.__setattr__(self, "widths", widths)
        if self.compile is not None and self.compile not in COMPILE_MODES:
            raise ValueError(
                f"compile must be one of {', '.join(COMPILE_MODES)} or None, got {self.compile!r}"
            )
        if self.max_length is not None:
            check_int("max_length", self.max_length, least=1)
        check_int("slack", self.slack, least=1)
        if check_int("first_reach", self.first_reach, least=STEP) % STEP:
            raise ValueError(f"first_reach must be a multiple of {STEP}, got {self.first_reach}")

    @classmethod
    def named(cls, name: str, **options: Any) -> "Engine | None":
        """The engine of a name: "eager" (None), "static", "graphs" or "compiled".

        Examples
        --------
        >>> Engine.named("graphs").graphs, Engine.named("eager")
        (True, None)
        """
        if name not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {name!r}")
        if name == "eager":
            return None
        if name == "compiled":
            here = torch.cuda.is_available()
            settings: dict[str, Any] = {
                "graphs": here, "fuse": True, "compile": "default", "widths": COMPILED_WIDTHS,
                "first_reach": 4 * STEP,
            }  # fmt: skip
        else:
            settings = {"graphs": name == "graphs", "fuse": name == "graphs"}
        return cls(**(settings | options))


class CompiledModel(TransformersModel):
    """A causal language model of transformers whose passes have fixed shapes.

    Parameters
    ----------
    module : transformers.PreTrainedModel
        In evaluation mode; its device and dtype are kept.
    name : str
    engine : Engine, optional
        Default: static caches, neither graphs nor compilation.

    Raises
    ------
    ValueError
        If graphs are asked for without CUDA, layers are packed, which torch.compile cannot
        trace, a layer is neither full nor sliding-window attention, or a small trial shows
        that the model does not read a static cache as it reads a growing one, or does in a
        pass what no graph can hold.

    Notes
    -----
    A sequence borrows a lane: its cache, its input buffers and the passes recorded for them.
    It goes back when the sequence is no longer referenced, so that one text after another
    replays the same graphs. Logits are those of `TransformersModel` up to rounding.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(
    ...     vocab_size=7, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
    ...     num_attention_heads=2, max_position_embeddings=64, pad_token_id=None,
    ... )
    >>> model = CompiledModel(LlamaForCausalLM(config), name="tiny")
    >>> session = model.start()
    >>> session.extend([1, 2, 3, 4, 5], 2).shape  # one pass of 6 positions, one of them padding
    torch.Size([2, 7])
    >>> session.rewind(3)
    >>> session.length, session.positions
    (3, 5)
    """

    def __init__(self, module: Any, *, name: str, engine: Engine | None = None) -> None:
        super().__init__(module, name=name)
        self.engine = engine or Engine()
        if self.engine.graphs and self.device.type != "cuda":
            raise ValueError(
                f"{name} is on {self.device}, and CUDA graphs need CUDA: "
                'use engine="static" or "eager"'
            )
        if self.engine.compile and any(isinstance(m, PackedLinear) for m in module.modules()):
            raise ValueError(
                f"{name} has packed layers, which torch.compile cannot trace: load it with "
                "pack=False"
            )
        self.windows = windows_of(module.config.get_text_config(), name)
        self.last_place = self.max_positions - 1  # what the model's position embeddings reach
        trial = Trial(self)
        if self.engine.fuse:
            fuse_linears(module)
        if self.engine.grouped:
            use_grouped_attention(module)
        self.forward = module.forward
        trial.check(self)
        self.max_positions = min(self.max_positions, self.engine.max_length or MOST_POSITIONS)
        if self.engine.compile is not None:
            self.forward = self._compiled()
        self._idle: list[Lane] = []

    def start(self) -> StaticSession:
        """Return a new, empty sequence, in a lane that an earlier one left if there is one."""
        lane = self._idle.pop() if self._idle else Lane(self)
        session = StaticSession(self, lane)
        weakref.finalize(session, _give_back, self._idle, lane).atexit = False
        return session

    def __repr__(self) -> str:
        how = ["static caches"]
        how += ["CUDA graphs"] if self.engine.graphs else []
        how += [f"torch.compile {self.engine.compile}"] if self.engine.compile else []
        return f"CompiledModel({self.name!r}, {', '.join(how)})"

    def _compiled(self) -> Callable[..., Any]:
        mode = COMPILE_MODES[self.engine.compile or "default"]
        compiled: Callable[..., Any] = torch.compile(self.module.forward, dynamic=False, mode=mode)

        def forward(**inputs: Any) -> Any:
            with torch._dynamo.config.patch(recompile_limit=256, accumulated_recompile_limit=4096):
                return compiled(**inputs)

        return forward


class Trial:
    """A few tokens read with a growing cache, to be compared with what a static one gives."""

    def __init__(self, model: TransformersModel) -> None:
        self._tokens = trial_tokens(model)
        self._expected = TransformersSession(model).extend(self._tokens, len(self._tokens))

    def check(self, model: "CompiledModel") -> None:
        """Raise ValueError unless a static cache, after going back, gives the same logits."""
        engine, most = model.engine, model.max_positions
        model.engine = replace(engine, graphs=False)
        model.max_positions = min(most, STEP)
        refusal = (
            f"{model.name} ({type(model.module).__name__}) does not read a static cache through a "
            '4-D attention mask as it reads a growing one: use engine="eager"'
        )
        try:
            with refused(refusal):
                session = StaticSession(model, Lane(model))
                session.extend([self._tokens[-1]] * len(self._tokens), 1)
                session.rewind(0)
                found = [session.extend([token], 1) for token in self._tokens[:2]]
                if rest := self._tokens[2:]:
                    found.append(session.extend(rest, len(rest)))
        finally:
            model.engine, model.max_positions = engine, most
        if not near(torch.cat(found), self._expected, model.dtype, least=0.0):
            raise ValueError(refusal)
        if engine.graphs:
            check_recordable(model.name, session.lane)


@torch.inference_mode()
def check_recordable(name: str, lane: Lane) -> None:
    """Raise NotRecordable, a ValueError, if a pass in `lane` cannot be a CUDA graph."""
    try:
        with Recordable():
            lane.forward(lane.index[:1], lane.index[:1], lane.reach(1), lane.index[:1])
    except NotRecordable as error:
        raise NotRecordable(
            f"{name} cannot be recorded as a CUDA graph, for in its pass {error}: "
            'use engine="static"'
        ) from error
    except (RuntimeError, TypeError):  # cannot be watched: recording itself will tell
        return


def _give_back(idle: list[Lane], lane: Lane) -> None:
    if len(idle) < KEPT_LANES:
        idle.append(lane)


def with_engine(models: Models, engine: "Engine | str") -> Models:
    """Return the same models with every language model run by `engine`.

    Parameters
    ----------
    models : Models
        Of `TransformersModel`; one-shot drafts are kept as they are.
    engine : Engine or str
        Or its name: "eager" (models are returned unchanged), "static", "graphs", "compiled".

    Raises
    ------
    ValueError
        If graphs are asked for without CUDA, or a model shows no module to run.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(
    ...     vocab_size=7, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
    ...     num_attention_heads=2, max_position_embeddings=64, pad_token_id=None,
    ... )
    >>> models = Models.of(TransformersModel(LlamaForCausalLM(config), name="tiny"))
    >>> with_engine(models, "static").target
    CompiledModel('tiny', static caches)
    """
    chosen = Engine.named(engine) if isinstance(engine, str) else engine
    if chosen is None:
        return models
    language: dict[int, LanguageModel] = {}
    for number, model in models.language.items():
        if not isinstance(model, TransformersModel):
            raise ValueError(
                f"{model.name} shows no transformers module, so no other engine can run it: use "
                'engine="eager" or leave it out'
            )
        language[number] = CompiledModel(model.module, name=model.name, engine=chosen)
    return replace(models, language=language)


def check_engine(name: str, device: torch.device) -> None:
    """Raise ValueError, before anything is loaded, if no such engine runs on `device`."""
    engine = Engine.named(name)
    if engine is not None and engine.graphs and device.type != "cuda":
        raise ValueError(f"engine {name} needs CUDA, and the device is {device}: use static")


def engine_settings(models: Models) -> dict[str, Any]:
    """What a record says of the engine: nothing if it is the eager one."""
    engine = getattr(models.target, "engine", None)
    return {} if engine is None else {"engine": asdict(engine) | {"widths": list(engine.widths)}}
