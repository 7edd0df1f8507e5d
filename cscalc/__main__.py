"""``python -m cscalc``."""

from cscalc.cli import main

main()
