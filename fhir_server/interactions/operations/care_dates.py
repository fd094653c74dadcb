"""When the care took place that a record tells of: what ``start`` and ``end`` of an operation mean."""

from fhir_server.forms import Record
from fhir_server.search.dates import FOREVER, NEVER, Interval
from fhir_server.search.plan import Group
from fhir_server.search.values import ResourceValues

_NOT_OF_CARE = frozenset(
    {"_lastUpdated", "birthdate", "death-date", "value-date", "reaction-date", "payment-date"}
)


class InPeriod:
    """Holds for records of care between two dates, both included, and for those that name no date of care.

    The dates of a record are those of its date parameters; one that lies in the period, or touches it, is enough.
    """

    groups: tuple[Group, ...] = ()
    rows: frozenset[bytes] | None = None

    def __init__(
        self, values: ResourceValues, start: Interval | None, end: Interval | None
    ) -> None:
        self._values = values
        self._parameters = [
            p
            for p in values.parameters.values()
            if p.type == "date" and p.code not in _NOT_OF_CARE and values.reads(p.code)
        ]
        self._low = start.low if start else NEVER
        self._high = end.high if end else FOREVER

    async def holds(self, record: Record) -> bool:
        """See ``Joined.holds``."""
        found = [v for p in self._parameters for v in self._values.find(p, record.value)]
        dates = [value for value in found if isinstance(value, Interval)]
        return not dates or any(d.low < self._high and d.high > self._low for d in dates)
