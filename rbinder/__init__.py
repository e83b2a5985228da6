"""Distributed tracing for any unmodified program."""

__version__ = "0.1.0"
