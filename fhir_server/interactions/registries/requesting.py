"""A request for access that is made on a chain, too (ADR 0056): what it is about stands here, that it was made stands there.

Who asks with an account (an input ``chain-requester``) gets a Task that is a draft, and what to ask with on the chain.  Once
the chain says that this account has asked, the patient finds the request; she answers here or there.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from anchoring.registry.consents import commitment
from anchoring.registry.grants import GrantWish, Request, Status
from fhir_server.errors import InvalidResourceError
from fhir_server.forms import Json
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.lifecycle.kept import coded, of_input
from fhir_server.interactions.lifecycle.requests import Wish
from fhir_server.interactions.registries.links import Links, new_secrets

TYPE = "ChainRequest"
CONSUMER = "requesting"  # of notes about Tasks and Consents that were written
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Requesting:
    """One request on one registry; a ``Link``.

    Attributes:
        registry: Chain id and address of the registry, ``31337:0x...``.
        patient: Reference of the patient.
        task: Logical id of the Task.
        consent: Logical id of the Consent that grants it; empty until there is one.
        k: Key of the commitment, 32 bytes.
        key: Private key of the holder, 32 bytes.
        requester: Account that asks, 20 bytes.
        expiry: From when on the chain does not call it granted, seconds since 1970.
        wanted: How it should stand on the chain; NONE while the patient has not answered.
    """

    registry: str
    patient: str
    task: str
    consent: str
    k: bytes
    key: bytes
    requester: bytes
    expiry: int
    wanted: Status

    @property
    def id(self) -> bytes:
        """Its id on the chain, 32 bytes."""
        return commitment(self.k, "request", self.task)

    @property
    def request(self) -> Request:
        """What stands for it on the chain."""
        return Request(self.id, self.key, self.requester)

    @property
    def wish(self) -> GrantWish:
        """What is wanted of the registry."""
        return GrantWish(self.request, self.wanted, self.expiry)


def account_of(task: Json) -> bytes:
    """The account that a request names, 20 bytes; empty for a request that is made here only.

    Raises:
        InvalidResourceError: It is no account.
    """
    named = [each.get("valueString") for each in of_input(task, "chain-requester")]
    if not named:
        return b""
    if len(named) > 1 or not re.fullmatch(r"0x[0-9a-fA-F]{40}", str(named[0])):
        raise InvalidResourceError(
            "'chain-requester' is one account, 0x and 40 digits", "Task.input"
        )
    return bytes.fromhex(str(named[0])[2:])


async def offer(desk: Desk, task: dict[str, object], wish: Wish, account: bytes, at: int) -> str:
    """Make a Task a draft that waits for its request on the chain; the id under which it is to be kept.

    Args:
        account: Who will ask, 20 bytes.
        at: Milliseconds since 1970 UTC.

    Raises:
        InvalidResourceError: This server watches no registry of requests.
    """
    tools = desk.tools
    if not tools.grants:
        raise InvalidResourceError("this server watches no registry of requests", "Task.input")
    id_, (k, key) = tools.new_id(), new_secrets(tools)
    own = (tools.grants, wish.patient, id_, "", k, key, account)
    link = Requesting(*own, expiry_after(int(wish.end.timestamp())), Status.NONE)
    inputs = task["input"]
    assert isinstance(inputs, list), "it was made with its inputs"
    task["status"] = "draft"
    inputs += [
        {"type": coded(name), "valueString": value}
        for name, value in (
            ("chain-requester", f"0x{account.hex()}"),
            ("chain-contract", f"eip155:{link.registry}"),
            ("chain-request", f"0x{link.id.hex()}"),
            ("chain-holder", f"0x{link.request.holder.hex()}"),
        )
    ]
    await REQUESTS.put(desk.unit(), tools, link, at, due=False)
    return id_


def expiry_after(end: int) -> int:
    """When a grant expires on the chain that ends here at ``end``: a random part of a day later, to link nothing."""
    return end + secrets.randbelow(_DAY)


def _pack(link: Requesting) -> Mapping[str, object]:
    return {
        "registry": link.registry,
        "patient": link.patient,
        "task": link.task,
        "consent": link.consent,
        "k": link.k.hex(),
        "key": link.key.hex(),
        "requester": link.requester.hex(),
        "expiry": link.expiry,
        "wanted": link.wanted.name,
    }


def _unpack(held: Mapping[str, object]) -> Requesting:
    expiry = held["expiry"]
    if not isinstance(expiry, int):
        raise TypeError
    registry, patient, task, consent = (
        str(held[name]) for name in ("registry", "patient", "task", "consent")
    )
    k, key, requester = (bytes.fromhex(str(held[name])) for name in ("k", "key", "requester"))
    wanted = Status[str(held["wanted"])]
    return Requesting(registry, patient, task, consent, k, key, requester, expiry, wanted)


REQUESTS = Links(TYPE, _pack, _unpack)
