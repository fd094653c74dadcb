"""How far back logs and accountings go: six years (45 CFR 164.528(a)(1)), unless less is asked for."""

from datetime import UTC, timedelta

from fhir_server.forms import InScope
from fhir_server.interactions.operations.asked import Parameters

_SIX_YEARS = timedelta(days=6 * 365 + 2)


def six_years(asked: Parameters, in_scope: InScope) -> tuple[str, ...]:
    """The bounds of ``start`` and ``end`` as values of a date parameter; without ``start``, six years ago.

    Raises:
        InvalidParameterError: One is no date.
    """
    asked.date("start"), asked.date("end")  # refused under their own names
    ago = in_scope.asked.received.now.astimezone(UTC) - _SIX_YEARS
    start = asked.text("start") or ago.date().isoformat()
    end = asked.text("end")
    return (f"ge{start}", *((f"le{end}",) if end else ()))
