"""Back-off for signing in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from smart_auth.errors import TemporarilyUnavailableError
from smart_auth.throttle import FORGOTTEN_AFTER, FREE_ATTEMPTS, LONGEST_WAIT, SignInThrottle

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def fail(throttle: SignInThrottle, times: int, now: datetime) -> datetime:
    """Fail, waiting as long as is asked; return when the last one was."""
    done = 0
    while done < times:
        try:
            throttle.begin("anna", now)
            done += 1
        except TemporarilyUnavailableError as error:
            now += timedelta(seconds=error.retry_after)
    return now


def test_the_wait_doubles_up_to_a_limit() -> None:
    throttle = SignInThrottle()
    now = fail(throttle, FREE_ATTEMPTS, NOW)
    waits = []
    for _ in range(12):
        with pytest.raises(TemporarilyUnavailableError) as refused:
            throttle.begin("anna", now)
        waits.append(refused.value.retry_after)
        now = fail(throttle, 1, now)
    assert waits == sorted(waits)
    assert waits[0] < waits[3]
    assert waits[-1] <= LONGEST_WAIT.total_seconds() + 1


def test_one_name_does_not_slow_another() -> None:
    throttle = SignInThrottle()
    fail(throttle, 6, NOW)
    throttle.begin("drdoe", NOW)


def test_success_and_time_forget() -> None:
    throttle = SignInThrottle()
    now = fail(throttle, 6, NOW)
    throttle.succeeded("anna")
    throttle.begin("anna", now)
    now = fail(throttle, 6, now) + FORGOTTEN_AFTER
    throttle.begin("anna", now)
    throttle.begin("anna", now)


def test_a_flood_of_names_does_not_fill_the_memory() -> None:
    throttle = SignInThrottle()
    for number in range(10_100):
        throttle.begin(f"user {number}", NOW)
    assert len(throttle._failures) <= 10_000
