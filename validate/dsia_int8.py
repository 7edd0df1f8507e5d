"""Linear layers in int8: weights quantised once by row, activations in every pass by position."""

from typing import Any

import torch
from torch import Tensor, nn

LEAST_ROWS = 17  # torch's int8 product on CUDA takes no fewer rows
LEVELS = 127  # symmetric: -127..127


class Int8Linear(nn.Module):
    """``x @ weight.T + bias`` with both factors rounded to int8, the product exact in int32.

    A position's result depends on that position alone: a draft's law after a prefix must not
    depend on what else its pass reads, or tokens that it reviews would see the future.

    Parameters
    ----------
    weight : Tensor, shape (out_features, in_features)
    bias : Tensor or None
        Shared, not copied.
    """

    quantised: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        scale = weight.abs().amax(dim=1).clamp_(min=torch.finfo(weight.dtype).tiny) / LEVELS
        rounded = torch.round(weight / scale[:, None]).to(torch.int8)
        self.register_buffer("quantised", rounded, persistent=False)  # (out, in)
        self.register_buffer("scale", scale, persistent=False)  # (out,)
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """Return shape (..., out_features), in the dtype of `x`."""
        rows = x.reshape(-1, self.in_features)
        scale = rows.abs().amax(dim=1, keepdim=True).clamp_(min=torch.finfo(x.dtype).tiny) / LEVELS
        rounded = torch.round(rows / scale).to(torch.int8)
        product = self._product(rounded) * scale * self.scale
        if self.bias is not None:
            product = product + self.bias
        return product.to(x.dtype).reshape(*x.shape[:-1], self.out_features)

    def _product(self, rounded: Tensor) -> Tensor:
        if rounded.device.type != "cuda" or len(rounded) >= LEAST_ROWS:
            return torch._int_mm(rounded, self.quantised.t())
        padded = rounded.new_zeros(LEAST_ROWS, self.in_features)
        padded[: len(rounded)] = rounded
        return torch._int_mm(padded, self.quantised.t())[: len(rounded)]


def int8_of(layer: Any) -> Int8Linear | None:
    """Int8 twin of a linear layer, however it stores its weight; None for other modules.

    Packed layers hold no plain weight; what they make of unit vectors is their weight, exactly.

    Examples
    --------
    >>> twin = int8_of(nn.Linear(4, 2))
    >>> twin.quantised.dtype, int8_of(nn.LayerNorm(4)) is None
    (torch.int8, True)
    """
    name = type(layer).__name__
    bias = getattr(layer, "bias", None)
    bias = None if bias is None else bias.detach()
    if isinstance(layer, nn.Linear) and _is_plain(layer):
        return Int8Linear(layer.weight.detach(), bias)
    if name == "Conv1D":  # transformers' linear layer of GPT-2, stored transposed
        return Int8Linear(layer.weight.detach().t().contiguous(), bias)
    if name == "PackedLinear":
        with torch.no_grad():
            rows = layer(torch.eye(layer.in_features))  # (in, out)
        return Int8Linear((rows if bias is None else rows - bias).t().contiguous(), bias)
    return None


def _is_plain(layer: nn.Linear) -> bool:
    """Whether the weight is what the layer multiplies by; not so if it is packed or in 4 bit."""
    shape = (layer.out_features, layer.in_features)
    return layer.weight.is_floating_point() and tuple(layer.weight.shape) == shape
