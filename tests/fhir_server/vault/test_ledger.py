"""The list of erasures: nothing that was added is lost, whatever happens to the file half-way."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from fhir_server.errors import SettingsError
from fhir_server.vault.ledger import Ledger


def entry(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "list")
    made.begin()
    return made


def test_it_begins_empty_and_closed_to_others(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.read() == frozenset()
    assert (tmp_path / "list").stat().st_mode & 0o777 == 0o600
    ledger.add([entry(1)])
    ledger.begin()
    assert ledger.read() == {entry(1)}


def test_what_is_added_is_there_once(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.add([entry(1), entry(2)]) == {entry(1), entry(2)}
    assert ledger.add([entry(2), entry(3)]) == {entry(1), entry(2), entry(3)}
    assert len((tmp_path / "list").read_text().splitlines()) == 4
    assert Ledger(tmp_path / "list").read() == ledger.read()


@pytest.mark.parametrize("cut", [1, 5, 31, 32])
def test_a_line_that_was_cut_off_by_a_crash_goes_with_the_next(
    ledger: Ledger, tmp_path: Path, cut: int
) -> None:
    ledger.add([entry(1), entry(2)])
    content = (tmp_path / "list").read_bytes()
    (tmp_path / "list").write_bytes(content[:-cut])
    assert ledger.read() == {entry(1)}
    assert ledger.add([entry(3)]) == {entry(1), entry(3)}
    assert ledger.read() == {entry(1), entry(3)}


@pytest.mark.parametrize(
    "content",
    [b"", b"something\n", b"consentry-erasures/v2\n", b"consentry-erasures/v1\nxyz\n", b"consentry-erasures/v1\n\n",
     b"consentry-erasures/v1\n" + b"a" * 33 + b"\n", b"\xff" * 40 + b"\n", b"consentry-erasures/v1"],
)  # fmt: skip
def test_another_form_is_refused_and_left_as_it_is(
    ledger: Ledger, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "list").write_bytes(content)
    for work in (ledger.read, lambda: ledger.add([entry(1)])):
        with pytest.raises(SettingsError, match="list of erasures list can not be used"):
            work()
    assert (tmp_path / "list").read_bytes() == content


def test_a_list_that_is_missing_or_in_no_folder_is_refused(tmp_path: Path) -> None:
    missing = Ledger(tmp_path / "nowhere" / "list")
    for work in (missing.begin, missing.read, lambda: missing.add([entry(1)])):
        with pytest.raises(SettingsError, match="list of erasures list"):
            work()


def _add(path: Path, start: int) -> None:
    for number in range(start, start + 50):
        Ledger(path).add([entry(number)])


def test_several_processes_may_add_at_once(ledger: Ledger, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add, args=(tmp_path / "list", n * 100)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert ledger.read() == {entry(n * 100 + each) for n in range(3) for each in range(50)}
