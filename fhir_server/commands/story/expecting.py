"""What a step demands: returning means that it came so."""

from collections.abc import Collection

from fhir_server.commands.story.asking import Reply
from fhir_server.commands.story.errors import StepError
from fhir_server.commands.story.play import Filed


def require_status(reply: Reply, status: int) -> Reply:
    """The reply, if it has this HTTP status.

    Raises:
        StepError: It has another.
    """
    if reply.status != status:
        raise StepError(f"{reply.asked} gave {reply.status}, not {status}: {reply.words[:300]}")
    return reply


def require_exactly(reply: Reply, wanted: Collection[Filed]) -> Reply:
    """The reply, if its Bundle holds these records and no other, and a total, if any, says so.

    Raises:
        StepError: Something is missing, or something else is there.
    """
    require_status(reply, 200)
    expected = {filed.reference for filed in wanted}
    missing, surplus = expected - reply.references, reply.references - expected
    if missing or surplus:
        raise StepError(f"{reply.asked} lacks {sorted(missing)}, and has {sorted(surplus)} besides")
    if reply.total not in (None, len(expected)):
        raise StepError(f"{reply.asked} counts {reply.total} where {len(expected)} are permitted")
    return reply


def require(met: object, otherwise: str) -> None:
    """Return if something is so.

    Raises:
        StepError: It is not.
    """
    if not met:
        raise StepError(otherwise)
