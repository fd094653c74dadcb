"""Pairs of servers: one holds what a caller may not see, the other never did.  To that caller both have to answer the same.

Two pairs: of whole records, and of elements with labels of their own (``elements.py``).  Each path of the server has its own
file here, which asks along that path.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..fhir_server.answers import Answer
from ..fhir_server.clinic import (
    ETH,
    OTHER,
    Clinic,
    Json,
    observation,
    open_clinic,
    patient,
    plain,
    sharing,
)

_RANDOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"2026-05-04T12:[0-9:.]+(?:Z|\+00:00)")
IDENTIFIER = [{"system": "urn:mrn", "value": "9"}]
HIDDEN: list[Json] = [
    patient("b", name=[{"family": "Meier"}], identifier=IDENTIFIER),
    observation("b1", "b", effectiveDateTime="2020-01-01"),
    observation("h1", "a", meta=ETH, effectiveDateTime="2019-01-01", identifier=IDENTIFIER),
    observation("h2", "a", meta=ETH, effectiveDateTime="2021-01-01", identifier=IDENTIFIER),
    {"resourceType": "List", "id": "l", "status": "current", "mode": "working", "meta": ETH,
     "subject": {"reference": "Patient/a"}, "entry": [{"item": {"reference": "Observation/o1"}}]},
    {"resourceType": "Encounter", "id": "eh", "status": "finished", "meta": ETH,
     "class": {"code": "AMB"}, "subject": {"reference": "Patient/a"}},
    {"resourceType": "Binary", "id": "bh", "contentType": "text/plain", "data": "aGlkZGVu",
     "securityContext": {"reference": "Observation/h1"}},
    {"resourceType": "Binary", "id": "bb", "contentType": "text/plain", "data": "YW5vdGhlcg==",
     "securityContext": {"reference": "Patient/b"}},
]  # fmt: skip
OPEN: list[Json] = [
    patient("a", name=[{"family": "Meier"}]),
    sharing("a"),
    observation("o1", "a", effectiveDateTime="2020-05-01", encounter={"reference": "Encounter/eh"}),
    observation("o2", "a", effectiveDateTime="2018-05-01"),
    observation("o3", "a"),
    {"resourceType": "Binary", "id": "bo", "contentType": "text/plain", "data": "b3Blbg==",
     "securityContext": {"reference": "Observation/o1"}},
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """The server that holds what is hidden, and the one that never did."""

    full: Clinic
    bare: Clinic

    async def close(self) -> None:
        """Close both."""
        await self.full.close()
        await self.bare.close()


async def records(folder: Path) -> Pair:
    """The pair of whole records."""
    made = []
    for name, resources in (("full", [*OPEN, *HIDDEN]), ("bare", OPEN)):
        (folder / name).mkdir()
        clinic = await open_clinic(folder / name)
        for resource in resources:
            await clinic.put(resource)
        made.append(clinic)
    return Pair(*made)


def told(answer: Answer) -> str:
    """What an answer tells, without what differs between any two: times, links, and ids that were made for it."""
    text = json.dumps(plain(answer), sort_keys=True)
    made = dict.fromkeys(_RANDOM.findall(text))
    names = {id_: f"made-{number}" for number, id_ in enumerate(made)}
    return _TIME.sub("a time", _RANDOM.sub(lambda found: names[found[0]], text))


async def assert_same(pair: Pair, requests: Iterable[str]) -> None:
    """Ask both along these paths; statuses and bodies of all pages have to tell the same."""
    for url in requests:
        one, two = await pair.full.get(OTHER, url), await pair.bare.get(OTHER, url)
        assert (one.status, told(one)) == (two.status, told(two)), url
        while one.next or two.next:
            assert bool(one.next) == bool(two.next), url
            one, two = await pair.full.get(OTHER, one.next), await pair.bare.get(OTHER, two.next)
            assert told(one) == told(two), url
