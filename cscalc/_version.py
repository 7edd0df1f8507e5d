"""The version, and nothing else, so that packaging can read it."""

__version__ = "0.1.0"
