"""The explorer: one self-contained HTML page that computes EWIF, bounds and the best cascade.

The page's mathematics is JavaScript (`cscalc/explorer/*.mjs`), twin to `cscalc.theory` and
`cscalc.optimize`; the tests hold both together. Here the page is only put together.
"""

import base64
import hashlib
import html
import json
import os
import re
from importlib import resources
from typing import Any

from cscalc._checks import check_int
from cscalc._files import write_text
from cscalc._version import __version__
from cscalc.acceptance import Independent
from cscalc.profile import Profile

__all__ = ["explorer_page", "write_explorer"]

ENGINE = ("kernel.mjs", "bounds.mjs", "calls.mjs", "search.mjs", "plan.mjs")  # in the worker too
PAGE = ("settings.mjs", "state.mjs", "chart.mjs", "controls.mjs", "diagram.mjs", "page.mjs")
MOST_DRAFTS = 3
TABULATED = 258  # positions at which a callable verification cost is written


def explorer_page(profile: Profile | None = None, *, max_length: int = 32) -> str:
    """The page as HTML text: no other file, and nothing from a server, is needed.

    Parameters
    ----------
    profile : Profile, optional
        What the page's sliders start from; up to three drafts, independent acceptance.
    max_length : int
        Longest draft, most rounds and largest threshold that the page searches at first, up
        to 64.

    Returns
    -------
    str
        HTML. The same arguments give the same text.

    Raises
    ------
    TypeError, ValueError
        If the page cannot show `profile`, or `max_length` is out of its range.

    Examples
    --------
    >>> page = explorer_page(Profile([0.8], [0.1]))
    >>> page[:15], "https://" in page.split("<main>")[1].split("<script")[0]
    ('<!DOCTYPE html>', False)
    """
    start = json.dumps(_state(profile, max_length), allow_nan=False).replace("<", "\\u003c")
    engine = "".join(_classic(_read(name)) for name in ENGINE)
    page = "".join(_classic(_read(name)) for name in PAGE)
    uplot = f"/*\n{_read('uplot.LICENSE.txt')}\n*/\n{_read('uplot.min.js')}"
    parts = {
        "css": _read("uplot.min.css") + _read("page.css"),
        "start": start,
        "engine": engine,
        "uplot": uplot,
        "page": page,
        "version": html.escape(__version__),
        "policy": _policy(engine, uplot, page),
    }
    for name in ("css", "engine", "uplot", "page"):
        if re.search(r"</(script|style)", parts[name], re.IGNORECASE):
            raise ValueError(f"the explorer's {name} ends its own element: write it otherwise")
    return re.sub(r"@(\w+)@", lambda found: parts[found[1]], _read("page.html"))


def write_explorer(
    path: str | os.PathLike[str], profile: Profile | None = None, *, max_length: int = 32
) -> int:
    """Write the page, whole or not at all.

    Parameters
    ----------
    path : str or path
        HTML file to write; it may lie on a web server as it is.
    profile, max_length
        As in `explorer_page`.

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    TypeError, ValueError
        As `explorer_page`; or if there is no folder for `path`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     size = write_explorer(f"{folder}/explorer.html")
    >>> 50_000 < size < 300_000
    True
    """
    text = explorer_page(profile, max_length=max_length)
    write_text(path, text)
    return len(text.encode())


def _read(name: str) -> str:
    return (resources.files("cscalc") / "explorer" / name).read_text(encoding="utf-8")


def _classic(module: str) -> str:
    """An ES module as part of one script: imports left out, exports plain."""
    module = re.sub(r"^import .*?;\n", "", module, flags=re.MULTILINE | re.DOTALL)
    module = re.sub(r"^export \{.*?\};\n", "", module, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^export ", "", module, flags=re.MULTILINE)


def _policy(*scripts: str) -> str:
    """Content security policy: these scripts, inline styles, one worker; no request at all."""
    hashes = (base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; worker-src blob:; "
        f"img-src data:; base-uri 'none'; form-action 'none'"
    )


def _state(profile: Profile | None, max_length: int) -> dict[str, Any] | None:
    """What the page's sliders start from, by `state.mjs`'s names; None: its defaults."""
    if check_int("max_length", max_length, least=1) > 64:
        raise ValueError(f"max_length must be <= 64 in the explorer, got {max_length}")
    if profile is None:
        return {"longest": max_length}
    if not isinstance(profile, Profile):
        raise TypeError(f"profile must be a Profile, got {profile!r}")
    n = profile.n_drafts
    if not 1 <= n <= MOST_DRAFTS:
        raise ValueError(
            f"the explorer shows 1 to {MOST_DRAFTS} drafts, but the profile has {n}: make a "
            f"profile of those that matter"
        )
    if not isinstance(profile.acceptance, Independent):
        raise ValueError(
            f"the explorer knows independent acceptance, but the profile's is "
            f"{profile.acceptance.kind}: make a profile without it"
        )
    dearest = max(float(cost) for cost in profile.costs)
    if dearest > 10.0:
        raise ValueError(f"costs must be <= 10 in the explorer, got {dearest:g}: leave it out")
    tables: dict[str, list[float]] = {"0": [], "1": [], "2": []}
    for model in profile.verify:
        if str(model) in tables:
            known = min(profile.max_positions(model) or TABULATED, 2 * TABULATED)
            tables[str(model)] = [float(v) for v in profile.verify_costs(model, known)[1:]]
    rates = [[0.0] * 4 for _ in range(4)]
    for i in range(n + 1):
        for j in range(i + 1, n + 1):
            rates[i][j] = float(profile.alphas[i, j])
    drafts = range(1, MOST_DRAFTS + 1)
    pairs = {1: [1, 2], 2: [1, 2], 3: [1, 3]}
    return {
        "longest": max_length,
        "on": [model <= n for model in drafts],
        "alphas": [rates[0][1], rates[0][2], rates[0][3], rates[1][2], rates[1][3], rates[2][3]],
        "costs": [profile.cost(model) if model <= n else 0.0 for model in drafts],
        "oneShot": [model in profile.one_shot for model in drafts],
        "tables": tables,
        "pair": pairs[n],
        "names": [*profile.names, *(f"draft {model}" for model in range(n + 1, 4))],
    }
