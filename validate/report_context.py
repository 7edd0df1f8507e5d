"""Costs by context length as a table for the terminal."""

from typing import TYPE_CHECKING

from cscalc.profile import Profile
from validate.contexts import at_context

if TYPE_CHECKING:
    from rich.table import Table


def context_table(profile: Profile) -> "Table | None":
    """One row a context length: the target's pass, drafts' costs, V(m); None if not measured."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    known = (profile.measurement or {}).get("by_context")
    if not known:
        return None
    widest = known["widths"][-1]
    models = [n for n in range(1, profile.n_drafts + 1) if str(n) in known["seconds"]]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    titles = ["context", "target pass, ms"]
    titles += [f"cost of {profile.names[n]}" for n in models]
    for title in [*titles, f"pass over {widest}"]:
        table.add_column(Text(title), justify="right")
    for place, length in enumerate(known["lengths"]):
        target = known["seconds"]["0"][place]
        row = [str(length), f"{1000.0 * target[0]:.3g}"]
        held = [n for n in models if known["seconds"][str(n)][place] is not None]
        far = at_context(profile, length) if held == models else None
        row += ["" if far is None else f"{far.cost(n):.4g}" for n in models]
        table.add_row(*row, f"{target[-1] / target[0]:.2f}")
    return table
