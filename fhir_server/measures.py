"""What this process counts of its own work: plain numbers, no ids, nothing of anybody.  ``portal/metrics.py`` tells them."""

from bisect import bisect_left
from collections import Counter

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
