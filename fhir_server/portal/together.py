"""What the processes of one server have counted, together: whichever of them is asked tells of all.

Each keeps its numbers in a file of the data folder, written anew every few seconds, and gone with it.  A file of a process
that has died is not looked at once it is old; the sums fall then, which Prometheus takes for a restart.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from fhir_server.measures import SECONDS, UNITS, AnchorMeasures, Histogram, Measures

_FOLDER = "metrics"
_EVERY = 2.0  # seconds
_OLD = 15.0  # seconds


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is asked for at the moment of a look.

    Attributes:
        events: Size of the audit log.
        anchoring: How anchoring is.
        batches: Units of work in a commit.
        prepared: Large transactions that were prepared, by what came of that.
        waiting: Tokens that wait for the index.
        reindexing: Records that jobs of custom search parameters have not looked at yet.
    """

    events: Callable[[], int]
    anchoring: Callable[[], AnchorMeasures]
    batches: Callable[[], Histogram]
    prepared: Callable[[], Counter[str]]
    waiting: Callable[[], int]
    reindexing: Callable[[], int]


@dataclass(slots=True)
class Told:
    """The numbers of one process, or of several."""

    measures: Measures
    batches: Histogram
    events: int = 0
    waiting: int = 0
    reindexing: int = 0
    processes: int = 1
    prepared: Counter[str] = field(default_factory=Counter)
    anchoring: AnchorMeasures = field(default_factory=AnchorMeasures)

    def add(self, other: "Told") -> None:
        """Take another process in: what was done is summed, of what all see alike the most is taken."""
        self.measures.answers.update(other.measures.answers)
        for interaction, histogram in other.measures.seconds.items():
            own = self.measures.seconds.setdefault(interaction, Histogram(SECONDS))
            own.take(histogram)
        self.batches.take(other.batches)
        self.prepared.update(other.prepared)
        self.waiting += other.waiting
        self.events = max(self.events, other.events)
        self.anchoring.add(other.anchoring)
        self.reindexing = max(self.reindexing, other.reindexing)
        self.processes += other.processes


class Shared:
    """The numbers of this process beside those of the others."""

    def __init__(self, data: Path, measures: Measures, gauges: Gauges) -> None:
        self._folder = data / _FOLDER
        self._measures = measures
        self._gauges = gauges

    def told(self) -> Told:
        """All numbers: our own of this moment, the others' a few seconds old."""
        found = Told(Measures(), Histogram(UNITS), processes=0)
        for each in (self._own(), *self._others()):
            found.add(each)
        return found

    async def keep(self) -> None:
        """Write our own for the others now and then, until cancelled; then take it away."""
        file = self._folder / f"{os.getpid()}.json"
        try:
            while True:
                with suppress(OSError):  # a full disk: they are told later, or not at all
                    self._write(file)
                await asyncio.sleep(_EVERY)
        finally:
            file.unlink(missing_ok=True)

    def _own(self) -> Told:
        gauges = self._gauges
        return Told(
            self._measures,
            gauges.batches(),
            gauges.events(),
            gauges.waiting(),
            gauges.reindexing(),
            prepared=gauges.prepared(),
            anchoring=gauges.anchoring(),
        )

    def _write(self, file: Path) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_bytes(_packed(self._own()))
        partial.rename(file)

    def _others(self) -> Iterable[Told]:
        now = time.time()
        for file in self._folder.glob("*.json") if self._folder.is_dir() else ():
            with suppress(OSError, ValueError, KeyError, TypeError):
                if now - file.stat().st_mtime > _OLD:
                    file.unlink(missing_ok=True)
                elif file.stem != str(os.getpid()):
                    yield _unpacked(file.read_bytes())


def _packed(told: Told) -> bytes:
    answers = [[*key, count] for key, count in told.measures.answers.items()]
    seconds = {name: [h.counts, h.total] for name, h in told.measures.seconds.items()}
    return orjson.dumps(
        {
            "answers": answers,
            "seconds": seconds,
            "batches": [told.batches.counts, told.batches.total],
            "prepared": dict(told.prepared),
            "gauges": [told.events, told.waiting, told.reindexing],
            "anchoring": _packed_anchoring(told.anchoring),
        }
    )


def _packed_anchoring(told: AnchorMeasures) -> dict[str, object]:
    return {**asdict(told), "paid": str(told.paid), "failures": dict(told.failures)}


def _unpacked(text: bytes) -> Told:
    found, measures = orjson.loads(text), Measures()
    for interaction, status, count in found["answers"]:
        measures.answers[str(interaction), int(status)] += int(count)
    for interaction, kept in found["seconds"].items():
        measures.seconds[interaction] = _histogram(SECONDS, kept)
    anchoring = AnchorMeasures(**found["anchoring"])
    anchoring.paid = int(anchoring.paid)  # wei do not fit into JSON's numbers
    anchoring.failures = Counter(anchoring.failures)
    batches = _histogram(UNITS, found["batches"])
    prepared = Counter({str(outcome): int(count) for outcome, count in found["prepared"].items()})
    events, waiting, reindexing = map(int, found["gauges"])
    return Told(
        measures,
        batches,
        events,
        waiting,
        reindexing,
        prepared=prepared,
        anchoring=anchoring,
    )


def _histogram(bounds: tuple[float, ...], kept: list[object]) -> Histogram:
    counts, total = kept
    made = Histogram(bounds)
    if not isinstance(counts, list) or len(counts) != len(made.counts):
        raise ValueError("it has other bounds")
    made.counts, made.total = [int(count) for count in counts], float(str(total))
    return made
