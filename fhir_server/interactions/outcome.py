"""OperationOutcome (R4 operationoutcome.html): what is to be said beside an answer, or instead of one."""

import json
from collections.abc import Sequence

from fhir_server.errors import Issue

_PLACE = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue"


def outcome(issues: Sequence[Issue]) -> bytes:
    """An OperationOutcome."""
    made = [_issue(issue) for issue in issues]
    return json.dumps(
        {"resourceType": "OperationOutcome", "issue": made}, separators=(",", ":")
    ).encode()


def _issue(issue: Issue) -> dict[str, object]:
    made: dict[str, object] = {}
    if issue.place:
        named = zip(("line", "col"), issue.place, strict=True)
        made["extension"] = [{"url": f"{_PLACE}-{n}", "valueInteger": at} for n, at in named]
    made |= {"severity": issue.severity, "code": issue.code, "diagnostics": issue.diagnostics}
    if issue.place:
        made["location"] = ["Line {}, Col {}".format(*issue.place)]
    if issue.expression:
        made["expression"] = [issue.expression]
    return made
