"""A few named GPUs as data: what their vendor's sheets say of bandwidth and dense bf16 rate."""

from dataclasses import dataclass

from cscalc._checks import check_number


@dataclass(frozen=True, slots=True)
class GPU:
    """One accelerator, by its data sheet.

    Attributes
    ----------
    name : str
    bandwidth : float
        Memory bandwidth, bytes per second, > 0.
    peak : float
        Dense bf16 tensor rate (no sparsity), FLOP per second, > 0.
    memory : float
        Device memory, bytes, > 0.
    source : str
        The sheet the numbers were read from.

    Notes
    -----
    Sheet values are ceilings. Real kernels reach perhaps 60-90 % of the bandwidth; scale a GPU
    with `derated` rather than trusting the sheet.

    Examples
    --------
    >>> GPU("mine", bandwidth=1e12, peak=1e14, memory=24e9, source="its data sheet").name
    'mine'
    """

    name: str
    bandwidth: float
    peak: float
    memory: float
    source: str = ""

    def __post_init__(self) -> None:
        for field in ("bandwidth", "peak", "memory"):
            if not check_number(field, getattr(self, field), 0.0) > 0.0:
                raise ValueError(f"{field} must be > 0, got {getattr(self, field)}")

    def derated(self, bandwidth: float = 1.0, peak: float = 1.0) -> "GPU":
        """The same GPU at a fraction in (0, 1] of its sheet's bandwidth and peak rate.

        Examples
        --------
        >>> GPUS["H100 SXM"].derated(bandwidth=0.5).bandwidth
        1675000000000.0
        """
        check_number("bandwidth", bandwidth, 0.0, 1.0)
        check_number("peak", peak, 0.0, 1.0)
        return GPU(
            self.name, self.bandwidth * bandwidth, self.peak * peak, self.memory, self.source
        )


_SHEETS = (
    GPU("A100 80GB SXM", 2.039e12, 312e12, 80e9, "NVIDIA A100 data sheet (SXM4 80 GB)"),
    GPU("H100 SXM", 3.35e12, 989.5e12, 80e9, "NVIDIA H100 data sheet; 1979 with sparsity, halved"),
    GPU("H200", 4.8e12, 989.5e12, 141e9, "NVIDIA H200 data sheet; 1979 with sparsity, halved"),
    GPU("L40S", 864e9, 362.05e12, 48e9, "NVIDIA L40S data sheet"),
    GPU("RTX 4090", 1.008e12, 165.2e12, 24e9, "NVIDIA Ada architecture paper, fp32 accumulate"),
    GPU("B200", 8.0e12, 2.25e15, 180e9, "NVIDIA DGX B200 data sheet / 8; sparsity halved"),
)

GPUS: dict[str, GPU] = {gpu.name: gpu for gpu in _SHEETS}
"""Vendor sheet values by name."""
