"""Measuring two things in turn, because the machine's own speed changes: between one minute and the next by half."""

from collections.abc import Callable

ROUNDS = 5


def in_turn(
    one: Callable[[], float], other: Callable[[], float], *, rounds: int = ROUNDS
) -> tuple[float, float]:
    """Both figures, of the round whose ratio is the middle one."""
    found = [(one(), other()) for _ in range(rounds)]
    found.sort(key=lambda pair: pair[0] / pair[1])
    return found[len(found) // 2]
