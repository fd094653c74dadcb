"""The command line: ``python -m consent_engine decide CASE.json``.

Exit status: 0 answered, 1 some line of ``--ndjson`` could not be read, 2 the case or the command
line could not be read.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from .cases import answer_case
from .errors import CaseError

_STACK = 5_000  # JSON levels still read, so that a deep Consent is judged, not dropped
_EXAMPLE = """\
example of a case:
  {
    "config": {"default": "deny", "zone": "Europe/Vienna", "admin_policies": [],
               "break_glass": ["Group/emergency"]},
    "consents": [{"resourceType": "Consent", "id": "1", "status": "active",
      "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope",
                            "code": "patient-privacy"}]},
      "patient": {"reference": "Patient/1"},
      "provision": {"type": "permit", "purpose": [
        {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]}}],
    "request": {"subject": "Patient/1", "actors": ["Practitioner/7", "Organization/2"],
                "actor_identifiers": [{"system": "http://hl7.org/fhir/sid/us-npi",
                                       "value": "1234567893"}],
                "purpose": "TREAT", "action": "access", "time": "2026-01-31T12:00:00Z",
                "custodian": "Organization/2", "graph": {"Encounter/5": ["Patient/1"]}},
    "resource": {"resourceType": "Observation", "id": "9", "subject": {"reference": "Patient/1"}}
  }
the answer:
  {"decision": "permit", "basis": "consent",
   "decided_by": [{"consent": "Consent/1", "version": null, "path": "provision"}], ...}
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    chosen = _parser().parse_args(arguments)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(
        _STACK
    )  # exactly: a library may have raised it beyond what the C stack bears
    try:
        if chosen.case == "-":
            return _run(sys.stdin, chosen.ndjson)
        with Path(chosen.case).open(encoding="utf-8") as lines:
            return _run(lines, chosen.ndjson)
    except (CaseError, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"consent_engine: {error}\n")
        return 2
    finally:
        sys.setrecursionlimit(limit)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m consent_engine",
        description="Decide whether Consents permit access to a record.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="decide", required=True)
    decide = commands.add_parser(
        "decide",
        help="decide the case in a file",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    decide.add_argument("case", metavar="CASE", help="file with the case, - for standard input")
    decide.add_argument("--ndjson", action="store_true", help="one case a line, one answer a line")
    return parser


def _run(source: TextIO, one_a_line: bool) -> int:
    if one_a_line:
        return _answer_lines(source)
    print(json.dumps(answer_case(_decode(source.read())), indent=2, ensure_ascii=False))
    return 0


def _answer_lines(lines: Iterable[str]) -> int:
    status = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            answer = answer_case(_decode(line))
        except CaseError as error:
            answer = {"error": str(error)}
            status = 1
        print(json.dumps(answer, ensure_ascii=False), flush=True)
    return status


def _decode(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise CaseError("not JSON that can be read") from error


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    """An object; of two members with one name nobody knows which is meant."""
    found = dict(members)
    if len(found) < len(members):
        raise CaseError("a member stands twice in one object")
    return found


if __name__ == "__main__":
    sys.exit(main())
