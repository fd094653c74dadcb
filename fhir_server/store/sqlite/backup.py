"""Copies of SQLite files as they were at one instant, while others read and write them."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from fhir_server.errors import SettingsError
from fhir_server.store.sqlite.schema import schema_version

_PAGES = 256  # copied between two calls of ``progress``
Progress = Callable[[int, int], None]  # pages copied, of how many


def copy_together(files: Sequence[tuple[Path, Path]], progress: Progress) -> None:
    """Copy each first file to the second, all of them as they were within a few milliseconds.

    What is written meanwhile is not in the copies; nobody waits.  The copies are whole databases without a log beside them.
    """
    with ExitStack() as stack:
        sources = [stack.enter_context(_pinned(source)) for source, _ in files]
        total = [int(s.execute("PRAGMA page_count").fetchone()[0]) for s in sources]
        done = 0
        for source, (_, target), pages in zip(sources, files, total, strict=True):
            copy = stack.enter_context(closing(sqlite3.connect(target)))
            before = done
            source.backup(
                copy,
                pages=_PAGES,
                progress=lambda _, left, all_, before=before: progress(  # type: ignore[misc]
                    before + all_ - left, sum(total)
                ),
            )
            copy.execute("PRAGMA journal_mode = DELETE")
            done += pages


@contextmanager
def _pinned(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose snapshot stays what it is now."""
    with closing(
        sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
    ) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        yield connection


def described(path: Path) -> tuple[int, int]:
    """The schema version of a database, and how many events its audit log has.

    Raises:
        SettingsError: It is none of ours, or of a newer program.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if not 0 < version <= schema_version():
                raise SettingsError(
                    f"the database has schema version {version}, this program knows {schema_version()}"
                )
            return version, int(connection.execute("SELECT count(*) FROM audit").fetchone()[0])
    except sqlite3.Error as error:
        raise SettingsError(f"{path.name} is not a database of this program: {error}") from error


def forget_anchors(path: Path) -> None:
    """Take away what was noted of a log's anchors, so that it is anchored from its beginning."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM anchor")
        connection.execute("DELETE FROM meta WHERE name = 'anchor-pending'")
        connection.commit()
