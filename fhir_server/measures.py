"""What this process counts of its own work: plain numbers, no ids, nothing of anybody.  ``portal/metrics.py`` tells them."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
UNITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


class Histogram:
    """How many values lay at or below each bound.

    Attributes:
        bounds: Rising.
        counts: Of each bound those above the one before it; one more for what is above all.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def take(self, other: "Histogram") -> None:
        """Count all values of another one, with the same bounds."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


@dataclass(slots=True)
class AnchorMeasures:
    """How anchoring is, and what it has come to since this process started.

    Attributes:
        lag: Events that no anchor covers yet.
        waited: Seconds that the oldest of them has been waiting, as far as was seen.
        stopped: 1 if it has ended and somebody must look.
        block: Block of the newest anchor.
        gas_per_event: Of the newest anchor.
        anchors: How many became final.
        paid: Wei paid for them.
        replaced: Transactions replaced by one with higher fees.
        moved: Anchors that a reorganisation took from where they stood.
        uncosigned: Witnesses that did not cosign the newest checkpoint.
        conflicts: Checkpoints of others' logs that were refused as another history.
        failures: Runs that failed, by kind.
    """

    lag: int = 0
    waited: float = 0.0
    stopped: int = 0
    block: int = 0
    gas_per_event: float = 0.0
    anchors: int = 0
    paid: int = 0
    replaced: int = 0
    moved: int = 0
    uncosigned: int = 0
    conflicts: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, other: "AnchorMeasures") -> None:
        """Take another process in: what was done is summed, of what all see alike the most is taken."""
        self.lag = max(self.lag, other.lag)
        self.waited = max(self.waited, other.waited)
        self.stopped = max(self.stopped, other.stopped)
        if other.block > self.block:
            self.block, self.gas_per_event = other.block, other.gas_per_event
        self.anchors += other.anchors
        self.paid += other.paid
        self.replaced += other.replaced
        self.moved += other.moved
        self.uncosigned = max(self.uncosigned, other.uncosigned)
        self.conflicts += other.conflicts
        self.failures.update(other.failures)


class Measures:
    """The answers of this process.

    Attributes:
        answers: How many, by interaction and HTTP status.
        seconds: How long each took until its first byte, by interaction.
    """

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.seconds: dict[str, Histogram] = {}

    def answered(self, interaction: str, status: int, seconds: float) -> None:
        """Count one answer.

        Args:
            interaction: An R4 restful-interaction code, or empty: never anything that a caller has written.
        """
        self.answers[interaction, status] += 1
        histogram = self.seconds.get(interaction)
        if histogram is None:
            histogram = self.seconds[interaction] = Histogram(SECONDS)
        histogram.add(seconds)
