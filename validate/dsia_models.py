"""From a DSIA setting to a language model over the target's own weights."""

from typing import Any

import torch
from torch import Tensor, nn

from validate.dsia import EarlyExit, Int8, LayerSkip, Setting, SlidingWindow, parts_of
from validate.dsia_int8 import int8_of
from validate.dsia_modules import (
    ExitHead,
    layers_path,
    map_linears,
    n_layers,
    shallow,
    with_layers,
)
from validate.dsia_names import parse_setting
from validate.dsia_sessions import WindowSession, window_mask
from validate.models import TransformersModel

NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")  # after the last layer


class SelfDraft(TransformersModel):
    """A draft that is its target under a DSIA setting; make it with `self_draft`.

    Attributes
    ----------
    target : TransformersModel
    setting : setting
    shared_layers : int
        First layers whose keys and values are the target's own, for the same text: all of an
        early exit's, those before the first layer that is left out, none under int8. A sequence
        can live in the target's cache only if they are all there is (`start_sessions`).
    """

    def __init__(self, module: Any, *, target: TransformersModel, setting: Setting) -> None:
        super().__init__(module, name=str(setting))
        self.target = target
        self.setting = setting
        kept = kept_layers(setting, n_layers(target.module))
        same = next((i for i, layer in enumerate(kept) if i != layer), len(kept))
        self.shared_layers = 0 if any(isinstance(p, Int8) for p in parts_of(setting)) else same

    @property
    def shares_cache(self) -> bool:
        """Whether all its keys and values are the target's own."""
        return self.shared_layers == n_layers(self.module)


class WindowDraft:
    """A draft with sliding-window attention, alone or on top of other settings; see `self_draft`.

    Its sequences make their own mask, so it shows no `module` and is decoded one text at a time.

    Attributes
    ----------
    target : TransformersModel
    setting : setting
    """

    def __init__(self, draft: SelfDraft, window: SlidingWindow, setting: Setting) -> None:
        self._draft = draft
        self._window = window
        self.target = draft.target
        self.setting = setting
        self.name = str(setting)
        self.vocab_size = draft.vocab_size
        self.max_positions = draft.max_positions

    @property
    def device(self) -> torch.device:
        """Where the target is."""
        return self._draft.device

    def start(self) -> WindowSession:
        """Return a new, empty sequence with a cache of its own."""
        return WindowSession(self._draft, self._window)

    def weights(self) -> Any:
        """The module whose weights it runs."""
        return self._draft.module


def self_draft(target: TransformersModel, setting: Setting | str) -> SelfDraft | WindowDraft:
    """Return `target` under a DSIA `setting`, as a draft that shares its weights.

    Parameters
    ----------
    target : TransformersModel
        Its module and weights are neither copied nor changed.
    setting : setting or str
        What `validate.dsia` describes, or its text, such as "skip:0.4" or "exit:8".

    Raises
    ------
    ValueError
        If the target shows no access to its layers, none would be left, or it takes no mask.
    TypeError
        If the target is no TransformersModel.

    Returns
    -------
    SelfDraft or WindowDraft
        A language model like any other; see Notes for its cache.

    Notes
    -----
    Keys and values of an early exit are those of the target's first layers, so a sequence of it
    may live in the target's cache (`start_sessions`). Behind a layer that is left out all states
    differ, and under int8 and a sliding window they differ from the first layer on: those caches
    are separate.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=11, hidden_size=16, intermediate_size=16,
    ...     num_hidden_layers=4, num_attention_heads=2)
    >>> target = TransformersModel(LlamaForCausalLM(config), name="tiny")
    >>> draft = self_draft(target, "skip:1,2")
    >>> draft.name, len(draft.module.model.layers), len(target.module.model.layers)
    ('skip:1,2', 2, 4)
    >>> draft.module.lm_head.weight is target.module.lm_head.weight
    True
    """
    if isinstance(setting, str):
        setting = parse_setting(setting)
    if not isinstance(target, TransformersModel):
        raise TypeError(
            f"a DSIA draft needs a TransformersModel as target, got a {type(target).__name__}: "
            "its layers are out of reach"
        )
    module = target.module
    parts = parts_of(setting)
    if any(isinstance(part, LayerSkip | EarlyExit) for part in parts):
        module = with_layers(module, kept_layers(setting, n_layers(module)))
    else:
        module = shallow(module)  # one's own root, so that nothing put on it reaches the target
    for part in parts:
        if isinstance(part, EarlyExit) and part.head is not None:
            module = _with_head(module, part.head)
        if isinstance(part, Int8):
            module = _with_int8(module, part)
    window = next((part for part in parts if isinstance(part, SlidingWindow)), None)
    if window is not None:
        _check_window(module, window)
    draft = SelfDraft(module, target=target, setting=setting)
    return draft if window is None else WindowDraft(draft, window, setting)


def kept_layers(setting: Setting, count: int) -> tuple[int, ...]:
    """Layers of a target of `count` layers that run under `setting`, in order.

    Raises
    ------
    ValueError
        If none is left, or the setting names a layer that is not there.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> kept_layers(parse_setting("skip:1,4+exit:6"), 8)
    (0, 2, 3, 5)
    """
    kept = list(range(count))
    for part in parts_of(setting):
        if isinstance(part, LayerSkip):
            out = part.layers(count)
            kept = [layer for layer in kept if layer not in out]
        if isinstance(part, EarlyExit):
            if part.layers >= count:
                raise ValueError(
                    f"{part} runs {part.layers} layers, but the target has {count}: "
                    f"exit after at most {count - 1}"
                )
            kept = [layer for layer in kept if layer < part.layers]
    if not kept:
        raise ValueError(
            f"{setting} leaves none of the target's {count} layers: keep at least one"
        )
    return tuple(kept)


def shared_parameters(draft: SelfDraft | WindowDraft) -> tuple[int, int]:
    """Bytes of the draft's weights that are the target's own memory, and bytes that are not.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=11, hidden_size=16, intermediate_size=16,
    ...     num_hidden_layers=4, num_attention_heads=2)
    >>> target = TransformersModel(LlamaForCausalLM(config), name="tiny")
    >>> shared_parameters(self_draft(target, "exit:2"))[1]
    0
    """
    module = draft.weights() if isinstance(draft, WindowDraft) else draft.module
    owned = {_place(tensor) for tensor in _tensors(draft.target.module)}
    sizes = {_place(tensor): tensor.numel() * tensor.element_size()
             for tensor in _tensors(module)}  # fmt: skip
    shared = sum(size for place, size in sizes.items() if place in owned)
    return shared, sum(sizes.values()) - shared


def _tensors(module: Any) -> list[Tensor]:
    """Parameters and buffers, the packed weights of oneDNN layers included."""
    packed = [part.packed for part in module.modules() if hasattr(part, "packed")]
    return [*module.parameters(), *module.buffers(), *packed]


def _place(tensor: Tensor) -> int:
    """Where a tensor's numbers lie; oneDNN's own layout shows no address, so the object counts."""
    return id(tensor) if tensor.is_mkldnn else tensor.data_ptr()


def _with_int8(module: Any, setting: Int8) -> Any:
    head = module.get_output_embeddings()
    made: list[Any] = []

    def quantise(path: str, layer: Any) -> Any:
        if layer is head and not setting.head:
            return None
        twin = int8_of(layer)
        if twin is not None:
            made.append(path)
        return twin

    with torch.no_grad():
        twin = map_linears(module, quantise)
    if not made:
        raise ValueError(
            f"{type(module).__name__} holds no plain linear layers to quantise: "
            "load the target unquantised"
        )
    return twin


def _with_head(module: Any, path: str) -> Any:
    """The same model with an exit head in place of the last norm."""
    from safetensors.torch import load_file

    try:
        stored = load_file(path)
        norm, linear = stored["norm.weight"], stored.get("linear.weight")
    except (OSError, KeyError) as error:
        raise ValueError(
            f"{path} is no exit head ({error}): it needs norm.weight in safetensors format"
        ) from error
    place = layers_path(module).split(".")[:-1]
    owner = module.get_submodule(".".join(place))
    name = next(
        (name for name in NORMS if isinstance(getattr(owner, name, None), nn.Module)), None
    )
    if name is None:
        raise ValueError(
            f"{type(module).__name__} has no last norm that an exit head could replace"
        )
    weight = module.get_input_embeddings().weight
    if norm.shape != weight.shape[1:]:
        raise ValueError(f"{path} is a head for {norm.numel()} features, not {weight.shape[1]}")
    norm, linear = norm.to(weight), None if linear is None else linear.to(weight)
    config = module.config.get_text_config()
    old, own = getattr(owner, name), ExitHead(norm, linear, getattr(config, "rms_norm_eps", 1e-6))

    def replace(part: Any, path_left: list[str]) -> Any:
        twin = shallow(part)
        if path_left:
            child, *rest = path_left
            twin._modules[child] = replace(part._modules[child], rest)
        else:
            twin._modules[name] = own.train(old.training)
        return twin

    return replace(module, place)


def _check_window(module: Any, setting: SlidingWindow) -> None:
    kind = getattr(module.config.get_text_config(), "_attn_implementation", "eager")
    if kind not in ("eager", "sdpa"):
        raise ValueError(
            f"{setting} needs attention that takes a mask (eager or sdpa), but this target uses "
            f'{kind}: load it with attn_implementation="sdpa"'
        )
    weight = module.get_input_embeddings().weight
    mask = window_mask(1, 0, 2, 2, weight.dtype).to(weight.device)
    ids = torch.zeros((1, 2), dtype=torch.int64, device=weight.device)
    try:
        with torch.inference_mode():
            places = torch.arange(2, device=weight.device)[None]
            module(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False)
    except (ValueError, RuntimeError, TypeError, IndexError) as error:
        raise ValueError(
            f"{type(module).__name__} takes no mask of its own, so {setting} cannot run on it: "
            "use skip, exit or int8"
        ) from error
