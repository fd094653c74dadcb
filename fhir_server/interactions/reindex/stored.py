"""The SearchParameters that are stored, opened for the server itself: to know what can be searched."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from fhir_server.search.custom import SEARCH_PARAMETER, is_active, parse_parameter, read_parameter
from fhir_server.store.protocol import Selection
from fhir_server.vault.vault import Reader
from profiles.definitions import Definitions

_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Stored:
    """An active SearchParameter.

    Attributes:
        row: Row key of its record, hexadecimal.
        reference: ``SearchParameter/[id]``.
    """

    row: str
    reference: str
    value: Mapping[str, object]


async def active_parameters(reader: Reader) -> list[Stored]:
    """Those that are active, in the order of creation; composites, which build on others, last."""
    found: list[Stored] = []
    selection = Selection(SEARCH_PARAMETER, limit=_LIMIT)
    while True:
        versions = await reader.select(selection)
        for version in versions:
            value = orjson.loads(await reader.open(version))
            reference = f"{SEARCH_PARAMETER}/{value.get('id')}"
            found.append(Stored(version.row.hex(), reference, value))
        if len(versions) < _LIMIT:
            break
        selection = replace(selection, after=(0, versions[-1].rid))
    active = [each for each in found if is_active(each.value)]
    return sorted(active, key=lambda each: each.value.get("type") == "composite")


async def require_usable(
    value: Mapping[str, object], id_: str, reader: Reader, definitions: Definitions
) -> None:
    """Refuse an active SearchParameter that could not be searched by, as things are in this unit of work.

    Raises:
        InvalidResourceError: It can not be used; each issue names an element.
    """
    if not is_active(value):
        return
    row = reader.blind.row(SEARCH_PARAMETER, id_).hex()
    read_parameter(
        value,
        [
            parameter
            for each in await active_parameters(reader)
            if each.row != row
            for parameter in (parse_parameter(each.value),)
            if parameter.url not in definitions.by_url
        ],
        definitions,
    )
