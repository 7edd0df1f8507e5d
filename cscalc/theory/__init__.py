"""Formulas: exact laws and the closed forms of the papers. Knows nothing of `simulate`."""
