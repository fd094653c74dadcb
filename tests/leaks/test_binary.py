"""Binaries: whoever may not see their security context learns nothing of them."""

from .pairs import Pair, assert_same

SAME = [
    "Binary",
    "Binary/bh",
    "Binary/bb",
    "Binary/bo",
    "Binary/nowhere",
    "Binary/bh/_history",
    "Binary/bh/_history/1",
    "Binary?_summary=count",
    "Binary/_history",
]


async def test_a_document_is_that_of_a_server_without_what_is_hidden(pair: Pair) -> None:
    await assert_same(pair, SAME)
