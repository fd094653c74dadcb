"""The schema of the embedded database: the numbered steps in ``steps/`` that make it, and bring older databases up to it.

A new database goes through the same steps as an old one.  Each step is one file (``0005.sql`` follows ``0004.sql``) and
one transaction together with its number in ``user_version``: a crash leaves the database before it or behind it.  To add
a step is to add a file.  A step that changes what tokens are made of deletes them and leaves the mark ``reindex|all`` in
``meta`` (``0004.sql`` shows how): the server then makes them again before it answers anybody.
"""

import sqlite3
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from fhir_server.errors import SettingsError


@cache
def schema_version() -> int:
    """The version that this program knows: the number of its last step."""
    return len(_steps())


def require_known(connection: sqlite3.Connection) -> None:
    """Refuse what this program must not touch; nothing is changed by asking.

    Raises:
        SettingsError: It is of a newer version of this program, or of another program.
    """
    found = _version(connection)
    if found < 0 or found > schema_version():
        raise SettingsError(
            f"the database has schema version {found}, this program knows {schema_version()}: "
            "use the program that made it"
        )
    if found == 0 and connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        raise SettingsError(
            "the database has no schema version, but tables: another program made it"
        )


def bring_up(connection: sqlite3.Connection) -> None:
    """Take the steps that are missing, each in a transaction of its own.

    Raises:
        SettingsError: A step could not be taken; the database is as it was before that step.
    """
    for number, step in enumerate(_steps(), start=1):
        if _version(connection) >= number:
            continue
        try:
            _take(connection, number, step.read_text())
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise SettingsError(
                f"the database cannot be brought to schema version {number}: {error}; it is as it was"
            ) from error


def _take(connection: sqlite3.Connection, number: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if _version(connection) < number:  # another process may have been first
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    """One after another: SQLite's own way to run a script commits what is open before it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@cache
def _steps() -> tuple[Traversable, ...]:
    folder = resources.files("fhir_server.store.sqlite").joinpath("steps")
    found = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name
    )
    assert [f.name for f in found] == [f"{n:04}.sql" for n in range(1, len(found) + 1)]
    return tuple(found)
