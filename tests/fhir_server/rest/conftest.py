"""The fixtures of ``served.py``."""

from .served import _open, served

__all__ = ["_open", "served"]
