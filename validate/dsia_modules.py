"""Shallow modules: a target with layers left out, over the same layer objects and weights.

Nothing of the target is changed. Modules on the way from the root to what differs are copied
without their weights (`shallow`); all others are the target's own objects.
"""

import copy
from typing import Any

import torch
from torch import nn

_TABLES = ("_modules", "_parameters", "_buffers", "_forward_hooks", "_forward_pre_hooks")


def shallow(module: Any) -> Any:
    """Copy a module but not what it holds: children, parameters and buffers are shared.

    Examples
    --------
    >>> linear = nn.Linear(2, 2)
    >>> twin = shallow(linear)
    >>> twin is linear, twin.weight is linear.weight
    (False, True)
    """
    twin = copy.copy(module)
    for name in _TABLES:
        if name in module.__dict__:
            twin.__dict__[name] = copy.copy(module.__dict__[name])
    return twin


def layers_path(module: Any) -> str:
    """Return the dotted path of the target's list of layers.

    Raises
    ------
    ValueError
        If the architecture shows no list of as many modules as it has layers, or several.
    """
    count = _text_config(module).num_hidden_layers
    decoder = module.get_decoder() if hasattr(module, "get_decoder") else module
    inside = {id(part) for part in decoder.modules()}
    found: list[str] = [
        path for path, part in module.named_modules()
        if isinstance(part, nn.ModuleList) and len(part) == count and id(part) in inside
    ]  # fmt: skip
    outer = [path for path in found if not any(path.startswith(f"{other}.") for other in found)]
    if len(outer) != 1:
        seen = ", ".join(outer) if outer else "none"
        raise ValueError(
            f"{type(module).__name__} shows no single list of its {count} layers (found: {seen}), "
            "so layers cannot be left out: use int8 or window, or a decoder-only model"
        )
    return outer[0]


def n_layers(module: Any) -> int:
    """Layers of a transformers model."""
    return int(_text_config(module).num_hidden_layers)


def with_layers(module: Any, kept: tuple[int, ...]) -> Any:
    """Return a model of the layers `kept` alone, in order, with the target's own weights.

    Parameters
    ----------
    module : transformers.PreTrainedModel
    kept : tuple of int
        Layers that run.

    Raises
    ------
    ValueError
        If the architecture gives no access to its layers.

    Returns
    -------
    transformers.PreTrainedModel
        Layers count from 0 again, so that its key-value cache has no holes; attention modules
        whose number changes are copied without their weights.
    """
    path = layers_path(module)
    config = _config_of(_text_config(module), kept)
    layers = module.get_submodule(path)
    own = nn.ModuleList()
    for new, old in enumerate(kept):
        own.append(_numbered(layers[old], old, new))
    own.train(module.training)
    return _replaced(module, path.split("."), own, _text_config(module), config)


def map_linears(module: Any, make: Any) -> Any:
    """Return a model in which every linear layer is ``make(path, layer)``; None keeps it.

    Shared below what does not change; the target itself is left as it is.
    """

    def visit(part: Any, path: str) -> Any:
        made = make(path, part)
        if made is not None:
            return made
        children = {
            name: visit(child, f"{path}.{name}" if path else name)
            for name, child in part.named_children()
        }
        if all(children[name] is child for name, child in part.named_children()):
            return part
        twin = shallow(part)
        twin.__dict__["_modules"].update(children)
        return twin

    return visit(module, "")


def _text_config(module: Any) -> Any:
    config = getattr(module, "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        raise ValueError(
            f"a {type(module).__name__} is no transformers model, so its layers are out of reach: "
            "a DSIA draft needs a target loaded by load_models or TransformersModel"
        )
    return config.get_text_config()


def _config_of(config: Any, kept: tuple[int, ...]) -> Any:
    """The configuration of a model of these layers: lists with an entry a layer are cut too."""
    twin = copy.copy(config)
    count = config.num_hidden_layers
    for name, value in vars(config).items():
        if isinstance(value, list | tuple) and len(value) == count and not name.endswith("_id"):
            twin.__dict__[name] = type(value)(value[layer] for layer in kept)
    name = getattr(config, "attribute_map", {}).get("num_hidden_layers", "num_hidden_layers")
    twin.__dict__[name] = len(kept)
    return twin


def _numbered(part: Any, old: int, new: int) -> Any:
    """`part` with cache slot `new`; itself if that is its own."""
    if old == new:
        return part
    children = {name: _numbered(child, old, new) for name, child in part.named_children()}
    own = getattr(part, "layer_idx", None) == old
    if not own and all(children[name] is child for name, child in part.named_children()):
        return part
    twin = shallow(part)
    twin.__dict__["_modules"].update(children)
    if own:
        twin.layer_idx = new
    return twin


def _replaced(part: Any, path: list[str], leaf: Any, old: Any, config: Any) -> Any:
    """Copy the modules along `path` and put `leaf` at its end; they hold `config` for `old`."""
    if not path:
        return leaf
    twin = shallow(part)
    if getattr(part, "config", None) is old:
        twin.config = config
    name, *rest = path
    twin.__dict__["_modules"][name] = _replaced(part._modules[name], rest, leaf, old, config)
    return twin


class ExitHead(nn.Module):
    """An exit head: a residual linear map if given, then RMS norm with a weight of its own."""

    norm: torch.Tensor
    linear: torch.Tensor | None

    def __init__(self, norm: torch.Tensor, linear: torch.Tensor | None, eps: float) -> None:
        super().__init__()
        self.register_buffer("norm", norm, persistent=False)
        self.register_buffer("linear", linear, persistent=False)
        self.eps = eps

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return normed states, shape (..., hidden)."""
        if self.linear is not None:
            hidden = hidden + nn.functional.linear(hidden, self.linear)
        return nn.functional.rms_norm(hidden, hidden.shape[-1:], self.norm, self.eps)
