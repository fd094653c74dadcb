"""Which search parameters have tokens within one patient only.

By default equal codes of two patients have equal tokens, because a search without a patient must find both; whoever reads
the database sees how often each value occurs.  An operator may name parameters (``Condition.code``, ``*.code``,
``Observation.*``, ``*``) whose tokens are then unrelated from patient to patient: there is nothing to count.  The price is
that the index helps to find them only where the search names one patient.
"""

from collections.abc import Sequence
from functools import cache

from fhir_server.errors import SettingsError

_ALWAYS_GLOBAL = frozenset({"patient", "subject"})  # they say whose the record is


class PatientOnly:
    """The parameters that an operator has named.

    Args:
        patterns: ``Type.parameter``, each part possibly ``*``; ``*`` alone is all of them.
        types: The types whose records belong to patients, less Patient: only there it can hold.
    """

    def __init__(self, patterns: Sequence[str] = (), types: frozenset[str] = frozenset()) -> None:
        self._patterns = [_read(pattern, types) for pattern in patterns]
        self._types = types
        self.holds = cache(self._holds)

    def _holds(self, type_: str, code: str) -> bool:
        """Whether the tokens of a parameter lie within patients."""
        if type_ not in self._types or code in _ALWAYS_GLOBAL:
            return False
        return any(of in ("*", type_) and by in ("*", code) for of, by in self._patterns)


def _read(pattern: str, types: frozenset[str]) -> tuple[str, str]:
    of, _, by = pattern.partition(".")
    if pattern != "*" and (not by or of not in (*types, "*")):
        raise SettingsError(
            f"patient_only: {pattern[:64]} must be like Condition.code, *.code, Observation.* or *"
        )
    return of, by or "*"
