"""A pace: some at once, then so many a second."""

from fhir_server.portal.pace import Pace


def test_some_come_at_once_then_so_many_a_second() -> None:
    now = [100.0]
    pace = Pace(2, 3, lambda: now[0])
    assert [pace.wait() for _ in range(4)] == [0, 0, 0, 0.5]
    now[0] += 0.5
    assert [pace.wait() for _ in range(2)] == [0, 0.5]
    now[0] += 1000
    assert [pace.wait() for _ in range(4)] == [0, 0, 0, 0.5]
