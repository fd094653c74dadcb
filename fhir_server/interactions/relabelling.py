"""Relabelling: what was written under other rules gets the labels of those that hold now.

A job of the operator's: it walks through all records in small units of work, beside servers that run, and may be stopped
anywhere.  Each record whose labels change gets a version of its own, and the patient an AuditEvent that says so.  Labels
that somebody has set stay.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import orjson

from fhir_server.errors import IntegrityError, WrongKeyError
from fhir_server.interactions.labelling import Labelling
from fhir_server.interactions.leaf import event_draft, put_with_leaf
from fhir_server.resource_text import ResourceText, instant, read_resource, stamp
from fhir_server.search.tokens import Tokenizer
from fhir_server.store.protocol import SealedVersion, Selection
from fhir_server.store.shelf import Notes
from fhir_server.vault.noted import as_written
from fhir_server.vault.vault import Draft, Vault, Writer

_NOTE = "relabelling"
_UNIT = 64  # records
_BROKEN = (IntegrityError, WrongKeyError)
_CODES = "http://terminology.hl7.org/CodeSystem"
_STATEMENT = "security labels were made anew by the rules of the custodian"


@dataclass(frozen=True, slots=True)
class Relabelled:
    """How far a job has come.

    Attributes:
        rules: Fingerprint of the rules.
        type_: The type that is walked through, from behind ``rid``; those before it in the alphabet are done.
        looked_at: How many records were looked at.
        changed: How many of them got another version.
        closed: How many do not open, and keep their labels.
    """

    rules: str
    type_: str = ""
    rid: int = 0
    looked_at: int = 0
    changed: int = 0
    closed: int = 0


@dataclass(frozen=True, slots=True)
class Maker:
    """What new versions and their AuditEvents are made with.

    Attributes:
        new_id: Makes a random logical id.
        new_secret: Makes n random bytes.
        now: Milliseconds since 1970 UTC.
    """

    base: str
    custodian: str
    new_id: Callable[[], str]
    new_secret: Callable[[int], bytes]
    now: Callable[[], int]


class Relabeller:
    """Relabels a database; one job at a time."""

    def __init__(
        self, vault: Vault, labelling: Labelling, tokenizer: Tokenizer, maker: Maker
    ) -> None:
        self._vault = vault
        self._labelling = labelling
        self._tokenizer = tokenizer
        self._maker = maker

    async def run(self, types: Sequence[str], progress: Callable[[Relabelled], None]) -> Relabelled:
        """Walk through all records of ``types``, from where a job of the same rules was stopped; tell how it went."""
        job = await self._begun()
        for type_ in sorted(t for t in types if t >= job.type_ and self._labelling.concerns(t)):
            if type_ != job.type_:
                job = replace(job, type_=type_, rid=0)
            more = True
            while more:
                job, more = await self._unit(job)
                progress(job)
        async with self._vault.writing() as writer:
            await writer.notes.drop(_NOTE)
        return job

    async def _begun(self) -> Relabelled:
        rules = self._labelling.fingerprint
        async with self._vault.reading() as reader:
            kept = await _kept(reader.notes)
        return kept if kept is not None and kept.rules == rules else Relabelled(rules)

    async def _unit(self, job: Relabelled) -> tuple[Relabelled, bool]:
        async with self._vault.writing() as writer:
            selection = Selection(job.type_, after=(job.rid, job.rid), limit=_UNIT)
            versions = await writer.select(selection)
            changed = closed = 0
            for version in versions:
                try:
                    changed += await self._relabelled(writer, version)
                except _BROKEN:
                    closed += 1
            done = replace(
                job,
                rid=versions[-1].rid if versions else job.rid,
                looked_at=job.looked_at + len(versions),
                changed=job.changed + changed,
                closed=job.closed + closed,
            )
            await writer.notes.save(_NOTE, orjson.dumps(asdict(done)))
        return done, len(versions) == _UNIT

    async def _relabelled(self, writer: Writer, version: SealedVersion) -> int:
        """Write the version with other labels, if there are any; how many versions that was."""
        before = read_resource(await writer.open(version))
        after = self._labelling.labelled(before)
        if after is before:
            return 0
        patients = tuple(p for p in await writer.patients(version) if p)
        at = max(self._maker.now(), version.at + 1)
        made = stamp(after, before.id_, version.version + 1, at)
        dropped = self._tokenizer.tokens(version.type_, before.value, patients)
        tokens = self._tokenizer.tokens(version.type_, made.value, patients)
        number = version.version + 1
        draft = Draft(
            version.type_, before.id_, number, at, made.text, patients, tokens, version, dropped
        )
        await writer.put(draft)
        for patient in patients or ("",):
            event = self._event(made, patient, at)
            await put_with_leaf(writer, event, self._maker.new_secret)
        return 1

    def _event(self, made: ResourceText, patient: str, at: int) -> Draft:
        maker, id_ = self._maker, self._maker.new_id()
        meta = made.value["meta"]
        assert isinstance(meta, dict), "it was stamped"
        written = f"{made.type_}/{made.id_}/_history/{meta['versionId']}"
        whom = [{"what": {"reference": patient}, **_kind("1", "1")}] if patient else []
        event = {
            "resourceType": "AuditEvent",
            "id": id_,
            "meta": {"versionId": "1", "lastUpdated": instant(at)},
            "type": {"system": f"{_CODES}/audit-event-type", "code": "rest"},
            "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "update"}],
            "action": "U",
            "recorded": instant(at),
            "outcome": "0",
            "outcomeDesc": _STATEMENT,
            "agent": [{"who": {"reference": maker.custodian}, "requestor": True}],
            "source": {
                "site": maker.base,
                "observer": {"reference": maker.custodian, "display": "Consentry"},
            },
            "entity": [*whom, {"what": {"reference": written}, **_kind("2", "4")}],
        }
        concerned = (patient,) if patient else ()
        return event_draft(event, at, concerned, self._tokenizer)


def _kind(type_: str, role: str) -> dict[str, object]:
    return {
        "type": {"system": f"{_CODES}/audit-entity-type", "code": type_},
        "role": {"system": f"{_CODES}/object-role", "code": role},
    }


async def _kept(notes: Notes) -> Relabelled | None:
    found = await notes.find(_NOTE)
    if found is None:
        return None
    with as_written("the note of a relabelling"):
        return Relabelled(**orjson.loads(found))
