"""``$meta``, ``$meta-add`` and ``$meta-delete`` (R4 resource-operation-meta.html and its like).

Security labels say who may see a resource.  So whoever changes them needs what a patch needs: scopes and consent to read
and to update it, as it is labelled now and as it would be labelled then.  Whom a label hides a resource from can not take
the label off: the resource is not there for them.  Each change is a version of its own, so that history and audit show it.
"""

from dataclasses import replace

import orjson

from fhir_server.forms import InScope, Opened
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.labels import gathered, meta_text, sent_labels, with_labels
from fhir_server.interactions.patch import to_be_changed
from fhir_server.interactions.read import read
from fhir_server.interactions.search.finding import Budget, Finder, Reach
from fhir_server.interactions.stages import document
from fhir_server.interactions.versions import write_version
from fhir_server.search.joins import LOG, Wanted

_FEW_PATIENTS = 20  # what is gathered over more says little of each


async def meta(in_scope: InScope, desk: Desk) -> Opened:
    """The Meta of a resource, or all profiles, tags and labels of the resources of a type or of the system.

    What is gathered is that of the resources that the caller may see.

    Raises:
        NotFoundError: The resource is missing, or not permitted.
        GoneError: It was deleted.
        TooManyError: There are more resources than one request may open.
    """
    if not in_scope.asked.interaction.id_:
        return await _gathered(in_scope, desk)
    record = (await read(in_scope, desk)).records[0]
    return document(in_scope, _parameters(meta_text(record.text.decode())), (record,))


async def meta_add(in_scope: InScope, desk: Desk) -> Opened:
    """Add profiles, tags and labels to a resource; answer with its Meta.

    Raises:
        NotFoundError: Missing, or not permitted.
        GoneError: Deleted.
        InvalidParameterError: ``meta`` is missing or wrong.
        InvalidResourceError: The resource is not valid with them.
        PreconditionFailedError: ``If-Match`` does not hold.
        ScopeError: The token may change, but not read.
    """
    return await _changed(in_scope, desk, add=True)


async def meta_delete(in_scope: InScope, desk: Desk) -> Opened:
    """Take profiles, tags and labels off a resource; those that it does not have are ignored.

    Raises:
        NotFoundError: As ``meta_add``.
    """
    return await _changed(in_scope, desk, add=False)


async def _changed(in_scope: InScope, desk: Desk, *, add: bool) -> Opened:
    interaction = in_scope.asked.interaction
    labels = sent_labels(interaction.content)
    current, previous = await to_be_changed(in_scope, desk, interaction.id_)
    content = with_labels(previous.text.decode(), labels, add=add)
    desk.tools.require_valid(content)
    record = await write_version(in_scope, desk, interaction.id_, content, current, previous)
    return document(in_scope, _parameters(meta_text(record.text.decode())), (record,))


async def _gathered(in_scope: InScope, desk: Desk) -> Opened:
    reach = Reach(in_scope, desk, Budget(desk.tools.max_candidates))
    type_ = in_scope.asked.interaction.type_
    types = [type_] if type_ else sorted(desk.tools.definitions.resource_types - {LOG})
    metas: dict[bytes, object] = {}
    patients: set[str] = set()
    for each in types:
        if not reach.covering(each):
            continue
        finder = Finder(reach, Wanted(each), reach.covering(each), ())
        async for record in finder.find(finder.selection):
            told = gathered((record.value.get("meta"),))
            metas.setdefault(orjson.dumps(told), told)
            patients.update(p for p in record.patients if len(patients) <= _FEW_PATIENTS)
    counted = sorted(patients) if len(patients) <= _FEW_PATIENTS else ()
    text = orjson.dumps(gathered(metas.values())).decode()
    made = document(in_scope, _parameters(text))
    return replace(made, counted=tuple(counted))


def _parameters(meta: str) -> bytes:
    """The answer, with a Meta as JSON; without a parameter if it is empty, which R4 does not allow (json.html)."""
    told = "" if meta == "{}" else f',"parameter":[{{"name":"return","valueMeta":{meta}}}]'
    return f'{{"resourceType":"Parameters"{told}}}'.encode()
