"""``Consent/[id]/$chain-filing``: a version of a Consent that is filed on a chain under a key of the patient's own.

She names the key's address when she files the Consent (``$file-consent?holder=``).  The answer says what the key is asked
to sign, as wallets take it (``eth_signTypedData_v4``); with parameters, signatures (65 bytes) are taken.  Without ``file``
nothing is filed.  Without ``replace`` and ``revoke`` the server can not tell the chain that the version has ended here: she
does, and until then the registry goes on calling it active.
"""

from dataclasses import replace

import orjson

from anchoring.errors import ChainError
from anchoring.registry.consents import KINDS, NAME, Status, signed_call, typed
from anchoring.registry.typed_data import Domain
from fhir_server.errors import InvalidParameterError, NotFoundError
from fhir_server.forms import InScope, Opened, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.lifecycle.writers import require_spoken_for, subject_of
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.patch import to_be_changed
from fhir_server.interactions.registries.filing import FILINGS, Filing
from fhir_server.interactions.registries.links import Kept
from fhir_server.interactions.stages import document


async def chain_filing(in_scope: InScope, desk: Desk) -> Opened:
    """Give what is to be signed, or take the signatures.

    Raises:
        NotFoundError: Missing, not permitted, or not of a key that the patient has brought.
        InvalidParameterError: A signature is not that of her key.
        ScopeError: The token covers not both to read and to update it, or the requester does not speak for the patient.
    """
    asked = in_scope.asked
    given = Parameters(asked.interaction.query, tuple(KINDS))
    kept, record = await _brought(in_scope, desk)
    words = {name: given.text(name) for name in KINDS if given.text(name)}
    if words:
        filing = _with(kept.link, words)
        due = filing.word(filing.wanted) != b""
        await FILINGS.put(desk.unit(), desk.tools, filing, asked.received.at, kept.version, due=due)
    told = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": name, "valueString": orjson.dumps(_typed(kept.link, status)).decode()}
            for name, status in KINDS.items()
        ],
    }
    return document(in_scope, orjson.dumps(told), (record,))


async def _brought(in_scope: InScope, desk: Desk) -> tuple[Kept[Filing], Record]:
    current, record = await to_be_changed(in_scope, desk, in_scope.asked.interaction.id_)
    patient = subject_of(record.value, desk.tools.base)
    require_spoken_for(in_scope.asked.requester, patient, record.patients, record.decisions)
    for kept in await FILINGS.of(desk.reader, patient):
        link = kept.link
        if link.brought and (link.consent, link.version) == (record.id_, current.version):
            return kept, record
    raise NotFoundError("this version has no key of the patient's own on a chain")


def _with(filing: Filing, words: dict[str, str]) -> Filing:
    """The filing with signed calls; with that which files it, it is wanted on the chain."""
    known = dict(filing.words)
    for name, text in words.items():
        try:
            signature = bytes.fromhex(text.removeprefix("0x"))
            place = (filing.id, filing.address, filing.expiry)
            call = signed_call(_domain(filing), place, KINDS[name], filing.expiry, signature)
        except (ValueError, ChainError) as error:
            raise InvalidParameterError(f"'{name}' is not a signature of this key") from error
        known[KINDS[name].name] = call
    active = filing.wanted is Status.NONE and Status.ACTIVE.name in known
    wanted = Status.ACTIVE if active else filing.wanted
    return replace(filing, words=tuple(sorted(known.items())), wanted=wanted)


def _typed(filing: Filing, status: Status) -> dict[str, object]:
    return typed(_domain(filing), filing.id, status, filing.expiry, filing.expiry)


def _domain(filing: Filing) -> Domain:
    chain_id, _, contract = filing.registry.partition(":0x")
    return Domain(NAME, int(chain_id), bytes.fromhex(contract))
