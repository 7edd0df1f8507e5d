"""Expected tokens per cycle against the size of a token tree.

Chen et al., "Sequoia", NeurIPS 2024, arXiv:2402.12374. The best tree of each size under the
acceptance by rank that the paper prints for Llama3-70B with an 8B draft (its first 16 ranks),
next to a chain, to parallel chains (SpecInfer's shape, arXiv:2305.09781) and to a full binary
tree of the same size. A chain saturates near 1/(1 - .77) = 4.4 tokens; the best tree goes on
growing. The numbers marked are the optimum by dynamic programming and by best-first search, which
agree.

Drawn by ``python paper_figs/fig_sequoia_tree_size.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLUE, OUT, SERIES, figure, source

from cscalc.theory.tree_search import best_first_tree, optimal_tree
from cscalc.theory.trees import Tree, tree_tokens

NAME = Path(__file__).stem
ALT = """Line chart of expected tokens per cycle against tree size from 1 to 128 nodes on a
logarithmic axis. The best tree reaches 4.5 tokens at 16 nodes and 6.6 at 128; four parallel
chains, a binary tree and a single chain stay below, and the chain is flat at 4.4."""
RANKS = (  # P(the child of this rank is the one accepted), as printed
    *(0.7732, 0.1039, 0.0402, 0.0206, 0.0128, 0.0081, 0.0064, 0.0043),
    *(0.0035, 0.0026, 0.0025, 0.0021, 0.0016, 0.0014, 0.0010, 0.0010),
)
REFERENCE = {1: 1.0, 2: 1.7732, 4: 2.8333, 8: 3.8459, 16: 4.5376, 32: 5.2199, 64: 5.9166}
SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128)
CHAINS = 4


def _parallel(size: int) -> Tree:
    """Chains of equal length behind the root, which differ in their first token."""
    paths = []
    for node in range(size - 1):
        chain, depth = node % CHAINS, node // CHAINS
        paths.append((chain + 1,) + (1,) * depth)
    return Tree.from_paths(paths)


def _binary(size: int) -> Tree:
    """Node i's children are 2 i + 1 and 2 i + 2, as in a heap."""
    nodes = range(1, size)
    return Tree((-1, *((i - 1) // 2 for i in nodes)), (0, *(2 - i % 2 for i in nodes)))


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Compute tokens per cycle of the four shapes.

    Returns
    -------
    dict
        ``size`` (19,), nodes; ``best``, ``parallel``, ``binary``, ``chain`` (19,), tokens per
        cycle; ``best_first`` (19,), the optimum found in another way.
    """
    shapes = {
        "best": lambda size: optimal_tree(RANKS, size),
        "parallel": _parallel,
        "binary": _binary,
        "chain": lambda size: Tree.chain(size - 1),
        "best_first": lambda size: best_first_tree(RANKS, size),
    }
    found = {
        name: np.array([tree_tokens(shape(size), RANKS) for size in SIZES])
        for name, shape in shapes.items()
    }
    return {"size": np.array(SIZES), **found}


def claims() -> tuple[Claim, ...]:
    """The optimum at seven sizes, and both searches against each other."""
    shown = data()
    ours = dict(zip(SIZES, shown["best"], strict=True))
    return claims_of(
        "arXiv:2402.12374, its vector; optimum by two independent searches",
        0.00006,
        [(f"best tree of {size} nodes", value, ours[size]) for size, value in REFERENCE.items()],
    ) + claims_of(
        "best-first search instead of dynamic programming",
        1e-12,
        [
            (f"best tree of {size} nodes", other, ours[size])
            for size, other in zip(SIZES, shown["best_first"], strict=True)
        ],
    )


def main(folder: Path = OUT) -> None:
    """Draw the four shapes and the reference values."""
    shown = data()
    with figure(NAME, folder, width=7.8, height=5.0) as drawn:
        axes = drawn.subplots()
        for (colour, dash), key, label in zip(
            SERIES,
            ("best", "parallel", "binary", "chain"),
            ("best tree", f"{CHAINS} chains", "binary tree", "one chain"),
            strict=False,
        ):
            axes.plot(shown["size"], shown[key], color=colour, linestyle=dash)
            height = shown[key][-1] - 0.12 * (key == "binary") + 0.12 * (key == "parallel")
            axes.text(135, height, label, color=colour, va="center", weight="bold")
        for size, tokens in REFERENCE.items():
            axes.plot(size, tokens, "o", color=BLUE, markersize=6)
            axes.annotate(
                f"{tokens:.2f}", (size, tokens), (-5, 7), textcoords="offset points",
                ha="right" if size > 1 else "left", fontsize=9.5,
            )  # fmt: skip
        axes.set(xscale="log", xlim=(0.9, 128), ylim=(0.8, 7.2))
        ticks = [2**i for i in range(8)]
        axes.set_xticks(ticks, labels=[f"{tick}" for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel="nodes of the tree, root included", ylabel="expected tokens per cycle")
        source(
            drawn,
            "Acceptance by rank: Sequoia, arXiv:2402.12374, Llama3-70B with an 8B draft, first 16 "
            "ranks.",
        )


if __name__ == "__main__":
    main()
