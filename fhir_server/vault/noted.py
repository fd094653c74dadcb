"""Reading a note that the database kept: one that does not read as it was written was altered."""

from collections.abc import Iterator
from contextlib import contextmanager

from fhir_server.errors import TamperedRecordError


def owner_of(name: str) -> bytes:
    """The patient's token that a note is named by.

    Raises:
        TamperedRecordError: It is no token.
    """
    with as_written("the name of a note"):
        return bytes.fromhex(name)


@contextmanager
def as_written(what: str) -> Iterator[None]:
    """Whatever fails to read within is ``what``, and altered.

    Raises:
        TamperedRecordError: Not JSON, or other members than ours.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TamperedRecordError(
            f"{what} is not what was written: put back the database as it was"
        ) from error
