"""Linear layers with weights laid out once for oneDNN, for passes over few positions on a CPU.

A float32 matrix product of 1 to 32 rows is memory-bound. PyTorch hands a single row to a
matrix-vector kernel and more rows to a general one that is slower still; oneDNN with weights
reordered in advance reads them once at full speed whatever the number of rows, so that
verifying several positions costs little more than one.
"""

from typing import Any

import torch
from torch import Tensor, nn

ROWS = 8  # the batch that the layout is chosen for


class PackedLinear(nn.Module):
    """`nn.Linear` whose weight is held in oneDNN's own layout."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.out_features, self.in_features = linear.weight.shape
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS)
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x @ weight.T + bias``, shape (..., out_features)."""
        found: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self.packed, self.bias, "none", [], ""
        )
        return found


def can_pack(module: Any) -> bool:
    """Whether this torch has oneDNN's packed linear, and the module is float32 on a CPU."""
    weight = next(module.parameters())
    available = torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )
    return bool(available and weight.device.type == "cpu" and weight.dtype == torch.float32)


def pack_linears(module: Any) -> Any:
    """Replace every `nn.Linear` below `module` in place; return the module, for inference only."""
    with torch.inference_mode():
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear:
                    setattr(parent, name, PackedLinear(child))
    return module
