"""``POST Task/[id]/$judge-break-glass``: a privacy officer of the custodian judges a broken glass (ADR 0041).

The review stays in the queue (``GET Task?code=break-glass-review&status=requested``) until it is judged, once.
Nobody judges himself.
"""

from fhir_server.errors import ConflictError, InvalidParameterError, NotFoundError, ScopeError
from fhir_server.forms import InScope, Json, Opened
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.lifecycle.glass import PERSON
from fhir_server.interactions.lifecycle.kept import GLASS_REVIEW, code_of, coded, of_input
from fhir_server.interactions.lifecycle.signing import who
from fhir_server.interactions.lifecycle.writing import put_changed, seconds
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.patch import to_be_changed
from fhir_server.interactions.read import MISSING
from fhir_server.interactions.stages import one

_JUDGEMENTS = ("justified", "not-justified")
_LONGEST = 2000


async def judge_break_glass(in_scope: InScope, desk: Desk) -> Opened:
    """Judge; the answer is the Task.

    Raises:
        InvalidParameterError: ``judgement`` is neither ``justified`` nor ``not-justified``.
        NotFoundError: There is no such review for this caller.
        ConflictError: It was judged before.
        ScopeError: The caller broke this glass himself.
    """
    interaction = in_scope.asked.interaction
    asked = Parameters(interaction.query, ("judgement", "comment"))
    judgement = asked.required("judgement")
    if judgement not in _JUDGEMENTS:
        raise InvalidParameterError(f"'judgement' must be one of {', '.join(_JUDGEMENTS)}")
    _, review = await to_be_changed(in_scope, desk, interaction.id_)
    if code_of(review.value) != GLASS_REVIEW:
        raise NotFoundError(MISSING)
    caller = in_scope.asked.requester.caller
    assert caller is not None, "only privacy officers come here"
    if _person(review.value) == caller.user:
        raise ScopeError("nobody judges the glass that he broke himself")
    if review.value.get("status") != "requested":
        raise ConflictError("this was judged before")
    changes: dict[str, object] = {
        "status": "completed",
        "businessStatus": coded(judgement),
        "lastModified": seconds(in_scope.asked.received.now),
        "owner": who(caller),
    }
    comment = asked.text("comment").strip()[:_LONGEST]
    if comment:
        changes["output"] = [{"type": coded("comment"), "valueString": comment}]
    return one(in_scope, await put_changed(in_scope, desk, review, changes))


def _person(review: Json) -> str:
    found = of_input(review, PERSON)
    reference = found[0].get("valueReference") if found else None
    return str(reference.get("reference", "")) if isinstance(reference, dict) else ""
