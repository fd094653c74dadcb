"""The patients that a person may pick, and their encounters: what our own pages show of records.

A page asks as the person who looks at it (``asking.py``): a hidden patient is as if she were not there.
"""

import re
from collections.abc import Sequence

import orjson

from fhir_server.forms import Json, Pairs
from fhir_server.portal.asking import Asking, items, mapping
from smart_auth.errors import PageError
from smart_auth.people.users import User

_SCOPE = "user/Patient.rs user/Encounter.rs"
_MOST = 50
_MOST_WORDS = 8
_LONGEST = 200
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_REFERENCE = re.compile(r"(Patient|Encounter)/([A-Za-z0-9\-.]{1,64})")
_SPECIAL = re.compile(r"([\\,$|])")
_CLASSES = {
    "AMB": "ambulatory",
    "EMER": "emergency",
    "FLD": "in the field",
    "HH": "home health",
    "IMP": "inpatient",
    "ACUTE": "inpatient acute",
    "NONAC": "inpatient non-acute",
    "OBSENC": "observation",
    "PRENC": "pre-admission",
    "SS": "short stay",
    "VR": "virtual",
}  # v3-ActCode


class PipelinePatients:
    """A ``PatientDirectory`` over the records of this server."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def search(self, user: User, text: str) -> Sequence[tuple[str, str]]:
        """See ``PatientDirectory.search``; ``text`` holds names, a birth date, an identifier or ``Patient/id``."""
        query = (*_criteria(text), ("_count", str(_MOST)))
        found = await self._entries(user, "Patient", query)
        return sorted(
            ((f"Patient/{each['id']}", name_of(each)) for each in found), key=lambda pair: pair[1]
        )

    async def patient(self, user: User, reference: str) -> str | None:
        """See ``PatientDirectory.patient``."""
        found = await self._read(user, "Patient", reference)
        return None if found is None else name_of(found)

    async def encounters(self, user: User, patient: str) -> Sequence[tuple[str, str]]:
        """See ``PatientDirectory.encounters``."""
        query = (("patient", patient), ("_sort", "-date"), ("_count", str(_MOST)))
        found = await self._entries(user, "Encounter", query)
        return [(f"Encounter/{each['id']}", _encounter(each)) for each in found]

    async def encounter(self, user: User, patient: str, reference: str) -> str | None:
        """See ``PatientDirectory.encounter``."""
        found = await self._read(user, "Encounter", reference)
        if found is None or mapping(found.get("subject")).get("reference") != patient:
            return None
        return _encounter(found)

    async def _entries(self, user: User, type_: str, query: Pairs) -> list[Json]:
        status, body = await self._ask(user, type_, query)
        if status == 403:  # nothing that this person is registered for lets her look
            return []
        if status != 200:
            raise PageError("The records cannot be searched just now. Type more.", status=503)
        found = [mapping(mapping(e).get("resource")) for e in items(body.get("entry"))]
        return [each for each in found if each.get("resourceType") == type_]

    async def _read(self, user: User, type_: str, reference: str) -> Json | None:
        shape = _REFERENCE.fullmatch(reference)
        if shape is None or shape[1] != type_:
            return None
        status, body = await self._ask(user, reference, ())
        if status >= 500:
            raise PageError("The records cannot be read just now.", status=503)
        return body if status == 200 else None

    async def _ask(
        self, user: User, target: str, query: Pairs
    ) -> tuple[int, dict[str, list[Json]]]:
        answer = await self._asking.get(user, _SCOPE, target, query)
        return answer.status, orjson.loads(answer.body)


def _criteria(text: str) -> Pairs:
    words = text[:_LONGEST].replace(",", " ").split()[:_MOST_WORDS]
    return tuple(_criterion(word) for word in words)


def _criterion(word: str) -> tuple[str, str]:
    if reference := _REFERENCE.fullmatch(word):
        return "_id", reference[2]
    if _DATE.fullmatch(word):
        return "birthdate", word
    if any(letter.isdigit() for letter in word):
        return "identifier", word.replace("\\", "\\\\").replace("$", "\\$")
    return "name", _SPECIAL.sub(r"\\\1", word)


def name_of(patient: Json) -> str:
    """Who a patient is, in one line."""
    names = [mapping(each) for each in items(patient.get("name"))]
    used = next((name for name in names if name.get("use") == "official"), (names or [{}])[0])
    given = " ".join(str(each) for each in items(used.get("given")))
    named = ", ".join(part for part in (str(used.get("family", "")), given) if part)
    told = [named or str(used.get("text", "")) or "without a name"]
    if patient.get("birthDate"):
        told.append(f"born {patient['birthDate']}")
    if patient.get("gender"):
        told.append(str(patient["gender"]))
    return " · ".join(told)


def _encounter(encounter: Json) -> str:
    started = str(mapping(encounter.get("period")).get("start", ""))[:10]
    kinds = [mapping(each) for each in items(encounter.get("type"))]
    class_ = mapping(encounter.get("class"))
    kind = next((_words(each) for each in kinds if _words(each)), "")
    code = str(class_.get("code", ""))
    told = (started, kind or str(class_.get("display") or _CLASSES.get(code, code)))
    return " · ".join(part for part in (*told, str(encounter.get("status", ""))) if part)


def _words(concept: Json) -> str:
    codings = [mapping(each) for each in items(concept.get("coding"))]
    return str(concept.get("text") or next((c["display"] for c in codings if "display" in c), ""))
