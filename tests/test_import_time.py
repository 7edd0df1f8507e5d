"""`import cscalc` stays light: what it loads is checked, not how many seconds it takes."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "sympy", "matplotlib", "numba", "xarray", "pandas", "dask",
         "distributed", "scipy.stats", "scipy.optimize", "typer", "rich", "validate"}  # fmt: skip


def loaded_after(code):
    """Heavy modules in a fresh Python after `code`."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    return HEAVY & set(json.loads(run.stdout))


@pytest.mark.parametrize(
    "code",
    [
        "import cscalc",
        "from cscalc import Cascade, Draft, Profile, Review",
        "import cscalc; cscalc.Cascade((cscalc.Draft(1, 2),)).to_dict(); dir(cscalc)",
        "from cscalc import ewif, token_law",
    ],
)
def test_importing_cscalc_loads_nothing_heavy(code):
    assert loaded_after(code) == set()


def test_importing_validate_loads_no_torch_until_it_is_used():
    assert loaded_after("import validate; dir(validate)") == {"validate"}


def test_every_public_name_of_cscalc_loads_without_torch():
    assert not loaded_after("from cscalc import *") & {"torch", "transformers", "validate"}


def test_the_check_sees_what_is_loaded():
    assert loaded_after("import scipy.stats") >= {"scipy.stats"}
