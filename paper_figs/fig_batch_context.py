"""Best draft length and speed-up over batch size and context length, by the roofline.

Llama-3-8B with Llama-3.2-1B as its draft (bf16) on one H200 by its data sheet, acceptance rate
.8, ragged acceptance (each sequence keeps what it accepted). A pass takes the longer of memory
traffic and arithmetic (`cscalc.theory.batch.pass_time`); speed-up is that of MoESD,
arXiv:2505.19645, Eq. 2 to 5, and the length is the best one, 0 allowed, as in SmartSpec,
arXiv:2406.14066.

At short contexts a large batch makes verification compute-bound, and speculation stops paying. At
long ones the caches dominate, every pass is memory-bound again, and speculation pays at any batch
that fits. Right: a draft that reads only 512 cached tokens, MagicDec's idea (arXiv:2408.11049),
with the same acceptance rate. White: weights and cache exceed 141 GB.

Drawn by ``python paper_figs/fig_batch_context.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from matplotlib.colors import BoundaryNorm
from style import OUT, figure, source

from cscalc.theory.batch import ModelSize, pass_time
from cscalc.theory.gpus import GPUS
from cscalc.theory.serving import moesd_sigma, moesd_speedup

NAME = Path(__file__).stem
ALT = """Three maps over batch size 1 to 512 and context 128 to 131072 tokens. Best draft length:
5 tokens at small batch and short context, 4 and 3 towards large batch and long context, 0 at
batch 256 and short context. Speed-up: 2.1 at batch 1, 1.7 where the memory is full, 1.0 at batch
256 and short context. With a sparse draft cache the speed-up rises along the edge of the memory
to 3.7."""
ALPHA, MOST = 0.8, 16
TARGET = ModelSize(  # 32 layers, 32 heads and 8 key-value heads of 128
    parameters=8.03e9, kv_bytes_per_token=2 * 32 * 8 * 128 * 2, attention_flops=4 * 32 * 32 * 128
)
DRAFT = ModelSize(  # 16 layers, 32 heads and 8 key-value heads of 64
    parameters=1.24e9, kv_bytes_per_token=2 * 16 * 8 * 64 * 2, attention_flops=4 * 16 * 32 * 64
)
GPU = GPUS["H200"]
SPARSE = 512  # cached tokens that MagicDec's draft reads
BATCH = 2.0 ** (np.arange(37) / 4.0)  # 1 to 512
CONTEXT = 2.0 ** (7.0 + np.arange(41) / 4.0)  # 128 to 131072
LENGTH_STEPS = (0, 1, 2, 3, 4, 5, 6)  # first length of each colour, and an end
SPEED_STEPS = (1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0)


def _speedups(
    batch: npt.NDArray[np.float64], context: npt.NDArray[np.float64], *, sparse: bool = False
) -> npt.NDArray[np.float64]:
    """Speed-up at draft length 0, 1, ..., `MOST`, shape (MOST + 1, ...)."""
    cached = np.minimum(context, SPARSE) if sparse else context
    plain = pass_time(TARGET, GPU, batch=batch, context=context)
    draft = pass_time(DRAFT, GPU, batch=batch, context=cached)
    return np.stack(
        [
            moesd_speedup(
                ALPHA, k, draft, plain,
                pass_time(TARGET, GPU, batch=batch, positions=k + 1, context=context),
            )
            for k in range(MOST + 1)
        ]
    )  # fmt: skip


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Compute the maps.

    Returns
    -------
    dict
        ``batch`` (37,), sequences; ``context`` (41,), tokens; ``fits`` (41, 37); ``length``,
        ``speedup``, ``sparse_speedup`` (41, 37), the best draft length, its speed-up, and the
        best speed-up with a sparse draft cache.
    """
    batch, context = BATCH[None, :], CONTEXT[:, None]
    whole, sparse = _speedups(batch, context), _speedups(batch, context, sparse=True)
    cache = batch * context * (TARGET.kv_bytes_per_token + DRAFT.kv_bytes_per_token)
    weights = 2.0 * (TARGET.parameters + DRAFT.parameters)
    return {
        "batch": BATCH,
        "context": CONTEXT,
        "fits": weights + cache <= GPU.memory,
        "length": whole.argmax(axis=0),
        "speedup": whole.max(axis=0),
        "sparse_speedup": sparse.max(axis=0),
    }


def claims() -> tuple[Claim, ...]:
    """MoESD's sigma, its formula at free verification, and the weights' time."""
    return claims_of(
        "arXiv:2505.19645, Eq. 5 by hand; arXiv:2211.17192, Theorem 3.8",
        0.000001,
        [
            ("sigma at alpha .8, 4 tokens", 0.67232, moesd_sigma(0.8, 4)),
            (
                "speed-up at c .1 if verification is free",
                2.401143,
                moesd_speedup(0.8, 4, 0.1, 1, 1),
            ),
        ],
    ) + claims_of(
        "16.06 GB over 4.8 TB/s",
        0.00001,
        [("seconds of a pass of Llama-3-8B, batch 1", 0.003346, pass_time(TARGET, GPU))],
    )


def main(folder: Path = OUT) -> None:
    """Draw the three maps."""
    shown = data()
    with figure(NAME, folder, width=12.6, height=4.6) as drawn:
        for axes, key, steps, title in zip(
            drawn.subplots(1, 3, sharey=True),
            ("length", "speedup", "sparse_speedup"),
            (LENGTH_STEPS, SPEED_STEPS, SPEED_STEPS),
            ("Best draft length (tokens)", "Speed-up", f"Speed-up, draft reads {SPARSE} tokens"),
            strict=True,
        ):
            values = np.where(shown["fits"], shown[key], np.nan)
            extend = "neither" if key == "length" else "max"
            mesh = axes.pcolormesh(
                shown["batch"], shown["context"], values, cmap="viridis", shading="nearest",
                norm=BoundaryNorm(steps, ncolors=256, extend=extend), rasterized=True,
            )  # fmt: skip
            bar = drawn.colorbar(mesh, ax=axes, pad=0.02)
            if key == "length":  # a colour is one whole number, named at its middle
                bar.set_ticks([step + 0.5 for step in steps[:-1]], labels=map(str, steps[:-1]))
                bar.ax.tick_params(length=0)
            else:
                bar.set_ticks(steps, labels=[f"{step:g}" for step in steps])
            axes.set(xscale="log", yscale="log", title=title, xlabel="batch (sequences)")
            axes.grid(visible=False)
            axes.set_xticks([1, 4, 16, 64, 256], labels=["1", "4", "16", "64", "256"])
            ticks = [2**7, 2**9, 2**11, 2**13, 2**15, 2**17]
            axes.set_yticks(ticks, labels=["128", "512", "2k", "8k", "32k", "128k"])
            axes.minorticks_off()
            axes.text(300, 60000, "does not fit", ha="right", fontsize=10)
        drawn.axes[0].set_ylabel("context (tokens a sequence)")
        source(
            drawn,
            r"Llama-3-8B and 1B draft, bf16, H200 by its data sheet, $\alpha$ = .8; roofline. "
            "Formulas: MoESD (arXiv:2505.19645), SmartSpec (arXiv:2406.14066), MagicDec "
            "(arXiv:2408.11049).",
        )


if __name__ == "__main__":
    main()
