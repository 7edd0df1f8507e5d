"""Monte Carlo of every cascade, event by event; it knows nothing of the formulas.

The package is itself callable, so that ``cscalc.simulate(...)`` works whether the name was
bound to the function or, by an import of a submodule, to this package.
"""

import sys
from types import ModuleType

from cscalc.simulate.agreement import Agreement, agreement
from cscalc.simulate.batch import simulate_batch
from cscalc.simulate.coupled import Comparison, compare
from cscalc.simulate.events import simulate, simulate_until
from cscalc.simulate.reply import ReplyTally, simulate_reply
from cscalc.simulate.streams import Stream
from cscalc.simulate.tally import Tally
from cscalc.simulate.trees import simulate_tree

__all__ = [
    "Agreement",
    "Comparison",
    "ReplyTally",
    "Stream",
    "Tally",
    "agreement",
    "compare",
    "simulate",
    "simulate_batch",
    "simulate_reply",
    "simulate_tree",
    "simulate_until",
]


class _CallablePackage(ModuleType):
    __call__ = staticmethod(simulate)


sys.modules[__name__].__class__ = _CallablePackage
