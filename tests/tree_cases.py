"""Acceptance by rank and verification costs, for token trees."""

import numpy as np
from hypothesis import strategies as st

# Sequoia (arXiv:2402.12374): Llama3-70B target, 8B draft, first 16 ranks
SEQUOIA = [
    *(0.7732, 0.1039, 0.0402, 0.0206, 0.0128, 0.0081, 0.0064, 0.0043),
    *(0.0035, 0.0026, 0.0025, 0.0021, 0.0016, 0.0014, 0.0010, 0.0010),
]


def acceptance(ranks=3, decreasing=False):
    """Positional acceptance of at most `ranks` ranks; sums to <= 1, zeros allowed."""

    def scale(weights):
        values = np.array(weights[:-1]) / max(1, sum(weights))
        return np.sort(values)[::-1].copy() if decreasing else values

    return st.lists(st.integers(0, 9), min_size=2, max_size=ranks + 1).map(scale)


def curves(size):
    return st.lists(st.floats(0.0, 0.5), min_size=size, max_size=size).map(
        lambda steps: 1.0 + np.cumsum([0.0, *steps[1:]])
    )
