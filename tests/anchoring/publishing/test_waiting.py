"""How long events have been waiting: as long as is known, never shorter."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from anchoring.publishing.waiting import Waiting

NOW = datetime(2026, 11, 21)  # noqa: DTZ001  any moment


def test_nothing_waits_at_first_and_when_all_is_covered() -> None:
    waiting = Waiting()
    assert waiting.since is None
    waiting.seen(0, NOW)
    assert waiting.since is None
    waiting.seen(3, NOW)
    waiting.covered(3)
    assert waiting.since is None
    waiting.seen(3, NOW)
    assert waiting.since is None


def test_who_came_while_others_were_being_anchored_waits_since_then() -> None:
    waiting = Waiting()
    waiting.seen(3, NOW)
    waiting.seen(5, NOW + timedelta(seconds=1))
    waiting.seen(5, NOW + timedelta(seconds=2))
    waiting.seen(9, NOW + timedelta(seconds=3))
    waiting.covered(3)
    assert waiting.since == NOW + timedelta(seconds=1)
    waiting.covered(6)
    assert waiting.since == NOW + timedelta(seconds=3)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=3000),
    st.integers(0, 5000),
)
def test_it_is_never_younger_than_true_and_exact_for_the_oldest(
    steps: list[int], covered: int
) -> None:
    waiting, seen, size = Waiting(), [], 0
    for second, step in enumerate(steps):
        size += step
        seen += [NOW + timedelta(seconds=second)] * step
        waiting.seen(size, NOW + timedelta(seconds=second))
    assert waiting.since == (seen[0] if seen else None)
    waiting.covered(covered)
    true = seen[covered] if covered < size else None
    assert (waiting.since is None) == (true is None)
    assert waiting.since is None or (true is not None and waiting.since <= true)


def test_however_long_it_takes_few_marks_are_kept() -> None:
    waiting = Waiting()
    for second in range(100_000):
        waiting.seen(second + 1, NOW + timedelta(seconds=second))
    assert len(waiting._marks) <= 1024
    assert waiting.since == NOW
