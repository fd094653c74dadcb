"""QR codes (ISO/IEC 18004) as SVG inside a page; the only importer of segno."""

from __future__ import annotations

import segno


def svg_of(text: str) -> str:
    """Return an ``<svg>`` element that shows ``text``; it holds nothing that came from outside."""
    drawn: str = segno.make_qr(text, error="m").svg_inline(
        scale=5, border=4, dark="#000", light="#fff", omitsize=True
    )
    return drawn
