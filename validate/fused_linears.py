"""Fewer and larger kernels in a pass: projections and attention that share work.

A pass of a small model is bound by the number of kernels it launches. Projections of one input
(query, key and value; gate and up) become one product, and attention over grouped heads copies
no keys.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

GROUPS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
GROUPED = "cscalc_grouped"


class Product:
    """One matrix product whose columns several layers share."""

    def __init__(self, linears: list[nn.Linear]) -> None:
        self.weight = torch.cat([linear.weight.detach() for linear in linears])
        self.bias: Tensor | None = None
        if linears[0].bias is not None:
            self.bias = torch.cat([linear.bias.detach() for linear in linears])
        self.n_parts = len(linears)
        self._input: Tensor | None = None
        self._output: Tensor | None = None
        self._taken = 0

    def of(self, x: Tensor) -> Tensor:
        """The whole product; computed once for an input that every part is asked for."""
        if self._output is None or self._input is not x:
            self._input, self._output, self._taken = x, F.linear(x, self.weight, self.bias), 0
        output = self._output
        self._taken += 1
        if self._taken == self.n_parts:
            self._input = self._output = None
        return output


class Part(nn.Module):
    """One of the linear layers that a `Product` stands for; its weight is a view."""

    def __init__(self, product: Product, start: int, end: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(product.weight[start:end], requires_grad=False)
        self.bias = None
        if product.bias is not None:
            self.bias = nn.Parameter(product.bias[start:end], requires_grad=False)
        self._product, self._start, self._end = product, start, end

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x @ weight.T + bias``."""
        return self._product.of(x)[..., self._start : self._end]


@torch.inference_mode()
def fuse_linears(module: Any) -> int:
    """Let projections of one input share a product, in place; return how many products there are.

    Only layers of the usual names that are plain `nn.Linear` are touched; for inference.

    Examples
    --------
    >>> layer = nn.Module()
    >>> layer.gate_proj, layer.up_proj = nn.Linear(4, 6), nn.Linear(4, 6)
    >>> x = torch.ones(1, 4)
    >>> before = layer.up_proj(x)
    >>> fuse_linears(layer)
    1
    >>> bool((layer.up_proj(x) - before).abs().max() < 1e-6)
    True
    """
    found = 0
    for parent in list(module.modules()):
        for names in GROUPS:
            linears: list[Any] = [getattr(parent, name, None) for name in names]
            if not all(type(linear) is nn.Linear for linear in linears):
                continue
            if len({(linear.in_features, linear.bias is None) for linear in linears}) > 1:
                continue
            product, start = Product(linears), 0
            for name, linear in zip(names, linears, strict=True):
                setattr(parent, name, Part(product, start, start + linear.out_features))
                start += linear.out_features
            found += 1
    return found


def use_grouped_attention(module: Any) -> None:
    """Let a model that takes transformers' attention functions use `grouped_attention`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if getattr(module.config.get_text_config(), "attn_logit_softcapping", None) is not None:
        raise ValueError(
            f"{type(module).__name__} caps its scores, which grouped attention does not: use "
            "grouped=False"
        )
    AttentionMaskInterface.register(GROUPED, sdpa_mask)  # for passes that bring no mask
    AttentionInterface.register(GROUPED, grouped_attention)
    module.set_attn_implementation(GROUPED)


def grouped_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention of few queries, (1, heads, new, dim), without a copy of the keys for every head.

    Heads that share keys are rows of one product. The softmax is in float32 at least.
    """
    if attention_mask is None or attention_mask.dtype == torch.bool:  # not a pass of the engine
        sdpa: Any = ALL_ATTENTION_FUNCTIONS["sdpa"]
        return sdpa(module, query, key, value, attention_mask, scaling=scaling, **options)  # type: ignore[no-any-return]
    batch, heads, new, dim = query.shape
    kv_heads = key.shape[1]
    scale = dim**-0.5 if scaling is None else scaling
    rows = query.reshape(batch, kv_heads, -1, dim)  # (1, kv_heads, group * new, dim)
    scores = (rows @ key.transpose(2, 3)) * scale  # (1, kv_heads, group * new, keys)
    scores = scores.view(batch, kv_heads, -1, new, key.shape[2]) + attention_mask[:, :, None]
    wide = torch.promote_types(scores.dtype, torch.float32)
    law = scores.softmax(dim=-1, dtype=wide).to(value.dtype)
    found = law.view(batch, kv_heads, -1, key.shape[2]) @ value
    return found.view(batch, heads, new, -1).transpose(1, 2).contiguous(), None
