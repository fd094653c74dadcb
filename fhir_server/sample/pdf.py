"""A small PDF of one page, byte by byte (ISO 32000-1, 7.5): header, objects, cross-reference table, trailer.

Not here: other fonts than the built-in Helvetica, text outside Latin-1, compression.
"""

_PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
_LEADING = 18  # points from one line to the next


def write_pdf(title: str, lines: tuple[str, ...]) -> bytes:
    """The PDF file of a title and lines of text, each short enough for an A4 page."""
    content = _content(title, lines)
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        _PAGE,
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    )
    file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    return file + _ending(places, len(file))


def _ending(places: list[int], start: int) -> bytes:
    """Cross-reference table (7.5.4: entries of exactly 20 bytes) and trailer."""
    size = len(places) + 1
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % size
    return (
        head
        + table
        + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, start)
    )


def _content(title: str, lines: tuple[str, ...]) -> bytes:
    shown = b" T*\n".join(b"(%b) Tj" % _escaped(line) for line in lines)
    head = b"BT /F1 16 Tf 72 770 Td (%b) Tj ET\n" % _escaped(title)
    return head + b"BT /F1 11 Tf %d TL 72 735 Td\n%b\nET" % (_LEADING, shown)


def _escaped(text: str) -> bytes:
    """A literal string's content (7.3.4.2)."""
    for character in ("\\", "(", ")"):
        text = text.replace(character, f"\\{character}")
    return text.encode("latin-1")
