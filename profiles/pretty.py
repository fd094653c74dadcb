"""Indented JSON (``_pretty=true``): only white space changes, so that numbers stay as they are written."""

import re

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\{\s*\}|\[\s*\]|[{}\[\],:]|[^\s"{}\[\],:]+')
_INDENT = "  "


def pretty(text: str) -> str:
    """``text``, which is JSON, with a line for each member and item."""
    pieces: list[str] = []
    depth = 0
    for match in _PIECE.finditer(text):
        piece = match.group()
        if piece in ("{", "["):
            depth += 1
            pieces.append(f"{piece}\n{_INDENT * depth}")
        elif piece in ("}", "]"):
            depth -= 1
            pieces.append(f"\n{_INDENT * depth}{piece}")
        elif piece == ",":
            pieces.append(f",\n{_INDENT * depth}")
        else:
            pieces.append(": " if piece == ":" else piece)
    return "".join(pieces)
