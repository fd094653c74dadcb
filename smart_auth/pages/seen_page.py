"""The page "who has seen my record": a person reads the audit log of her own record, or of a patient for whom she acts,
and keeps the proof of each access (EHDS, article 9; GDPR, article 15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from smart_auth.errors import PageError
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.pages.rendering import moment, problem_page, render
from smart_auth.people.presence import Presence, Present, Wanted
from smart_auth.people.record_access import Access, AccessPage, RecordAccess

_WANTED = Wanted("Sign in to see who has seen your record.")
_NOT_YET = (
    "There is no receipt of this access for you yet. Receipts are there once the log is anchored:"
    " try again in a few minutes."
)


@dataclass(frozen=True, slots=True)
class SeenPage:
    """``[issuer]/seen``."""

    presence: Presence
    log: RecordAccess

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer GET: ``patient``, ``page`` and ``receipt`` (id of an AuditEvent) choose what is shown."""
        try:
            return await self._answer(request)
        except PageError as error:
            return problem_page(str(error), error.status, error.retry_after)

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        visitor, here = self.presence.visitor(request), self.presence.settings.seen_page
        present = await self.presence.find(visitor, _WANTED)
        if present is None:
            return await self.presence.ask(visitor, _WANTED, here)
        asked = dict(request.query)
        if "receipt" in asked:
            return await self._receipt(present, asked["receipt"])
        values = await self._values(present, asked)
        return render("seen.html", None, values, 200, visitor.more)

    async def _values(self, present: Present, asked: dict[str, str]) -> dict[str, object]:
        person = present.person
        patients = await self.log.patients(person)
        references = [reference for reference, _ in patients]
        patient = asked.get("patient", references[0] if len(references) == 1 else "")
        found = AccessPage(())
        if patient:
            seen = None
            if patient in references:
                seen = await self.log.seen(person, patient, asked.get("page", ""))
            if seen is None:
                raise PageError("There is no such record, or its log is not for you.", status=404)
            found = seen
        return {
            "title": "Who has seen my record",
            "user_name": person.name,
            "patients": _links(patients),
            "chosen": dict(patients).get(patient, ""),
            "accesses": found.accesses,
            "day_and_time": _day_and_time,
            "newer": _link(patient=patient) if asked.get("page") else "",
            "older": _link(patient=patient, page=found.following) if found.following else "",
            "receipt_of": lambda access: _link(receipt=access.event),
        }

    async def _receipt(self, present: Present, event: str) -> HttpResponse:
        proof = await self.log.receipt(present.person, event)
        if proof is None:
            raise PageError(_NOT_YET, status=404)
        headers = (
            ("Content-Type", "application/json"),
            ("Content-Disposition", 'attachment; filename="receipt.json"'),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        )
        return HttpResponse(200, headers, proof)


def _links(patients: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(_link(patient=reference), label) for reference, label in patients]


def _link(**query: str) -> str:
    return f"seen?{urlencode(query)}"


def _day_and_time(access: Access) -> str:
    return moment(access.at)
