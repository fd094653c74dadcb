"""The operations that there are (R4 operations.html, 3.2.0): where each is asked for, and what scope it needs there.

What an operation reaches besides what its path names is looked at type by type, when it gets there.
"""

from dataclasses import dataclass

_R4 = "http://hl7.org/fhir/OperationDefinition"
_BULK = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition"
_CONSENTS = "http://hl7.org/fhir/us/consent-management/OperationDefinition"
_OWN = "https://consentry.example/OperationDefinition"
_BOTH = ("GET", "POST")
_SYSTEM, _TYPE, _INSTANCE = "", "[type]/", "[type]/[id]/"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        definition: Canonical of its OperationDefinition.
        levels: (what stands before its name, letters of scopes for the type named there, of which any will do); a search
            letter for the system asks for any scope to search.
        types: Only for these types; empty for all.
        methods: GET only where it changes nothing.
    """

    name: str
    definition: str
    levels: tuple[tuple[str, str], ...]
    types: frozenset[str] = frozenset()
    methods: tuple[str, ...] = _BOTH

    def letter(self, type_: str, id_: str) -> str:
        """The letters of scopes where it is asked for, any of which is enough."""
        return dict(self.levels)[_INSTANCE if id_ else _TYPE if type_ else _SYSTEM]


OPERATIONS = (
    Operation("meta", f"{_R4}/Resource-meta", ((_SYSTEM, "s"), (_TYPE, "s"), (_INSTANCE, "r"))),
    Operation("meta-add", f"{_R4}/Resource-meta-add", ((_INSTANCE, "u"),), methods=("POST",)),
    Operation("meta-delete", f"{_R4}/Resource-meta-delete", ((_INSTANCE, "u"),), methods=("POST",)),
    Operation(
        "everything",
        f"{_R4}/Patient-everything",
        ((_TYPE, "s"), (_INSTANCE, "r")),
        frozenset({"Patient"}),
    ),
    Operation(
        "everything",
        f"{_R4}/Encounter-everything",
        ((_INSTANCE, "r"),),
        frozenset({"Encounter"}),
    ),
    Operation("export", f"{_BULK}/patient-export", ((_TYPE, "s"),), frozenset({"Patient"})),
    Operation("export", f"{_BULK}/group-export", ((_INSTANCE, "r"),), frozenset({"Group"})),
    Operation("export", f"{_BULK}/export", ((_SYSTEM, "s"),)),
    Operation(
        "export-status",
        f"{_OWN}/export-status",
        ((_SYSTEM, "s"),),
        methods=("GET", "DELETE"),
    ),
    Operation("export-file", f"{_OWN}/export-file", ((_SYSTEM, "s"),), methods=("GET",)),
    Operation("lastn", f"{_R4}/Observation-lastn", ((_TYPE, "s"),), frozenset({"Observation"})),
    Operation(
        "docref",
        "http://hl7.org/fhir/us/core/OperationDefinition/docref",
        ((_TYPE, "s"),),
        frozenset({"DocumentReference"}),
    ),
    Operation(
        "document",
        f"{_R4}/Composition-document",
        ((_INSTANCE, "r"),),
        frozenset({"Composition"}),
    ),
    Operation(
        "match",
        f"{_R4}/Patient-match",
        ((_TYPE, "s"),),
        frozenset({"Patient"}),
        ("POST",),
    ),
    Operation(
        "erase",
        f"{_OWN}/Patient-erase",
        ((_INSTANCE, "d"),),
        frozenset({"Patient"}),
        ("POST",),
    ),
    Operation(
        "reindex",
        f"{_OWN}/SearchParameter-reindex",
        ((_INSTANCE, "u"),),
        frozenset({"SearchParameter"}),
        ("POST",),
    ),
    Operation(
        "reindex-status",
        f"{_OWN}/reindex-status",
        ((_INSTANCE, "r"),),
        frozenset({"SearchParameter"}),
    ),
    Operation("reindex-status", f"{_OWN}/reindex-status", ((_SYSTEM, "s"),)),
    Operation(
        "validate",
        f"{_R4}/Resource-validate",
        ((_TYPE, "cur"), (_INSTANCE, "r")),
    ),
    Operation(
        "summary",
        "http://hl7.org/fhir/uv/ips/OperationDefinition/summary",
        ((_TYPE, "s"), (_INSTANCE, "r")),
        frozenset({"Patient"}),
    ),
    Operation(
        "decide", f"{_OWN}/Consent-decide", ((_TYPE, "s"),), frozenset({"Consent"}), ("POST",)
    ),
    *(
        Operation(name, f"{_OWN}/Patient-{name}", ((_INSTANCE, "r"),), frozenset({"Patient"}))
        for name in ("access-explain", "access-log", "accounting-of-disclosures")
    ),
    Operation(
        "file-consent",
        f"{_CONSENTS}/file-consent",
        ((_TYPE, "c"),),
        frozenset({"Consent"}),
        ("POST",),
    ),
    Operation(
        "revoke-consent",
        f"{_CONSENTS}/revoke-consent",
        ((_TYPE, "u"), (_INSTANCE, "u")),
        frozenset({"Consent"}),
        ("POST",),
    ),
    Operation(
        "chain-answer",
        f"{_OWN}/Task-chain-answer",
        ((_INSTANCE, "u"),),
        frozenset({"Task"}),
        ("GET",),
    ),
    Operation(
        "chain-filing",
        f"{_OWN}/Consent-chain-filing",
        ((_INSTANCE, "u"),),
        frozenset({"Consent"}),
        ("POST",),
    ),
    Operation(
        "chain-revocation",
        f"{_OWN}/Consent-chain-revocation",
        ((_INSTANCE, "u"),),
        frozenset({"Consent"}),
        ("GET",),
    ),
    Operation(
        "judge-break-glass",
        f"{_OWN}/Task-judge-break-glass",
        ((_INSTANCE, "u"),),
        frozenset({"Task"}),
        ("POST",),
    ),
    Operation(
        "request-access",
        f"{_OWN}/Task-request-access",
        ((_TYPE, "c"),),
        frozenset({"Task"}),
        ("POST",),
    ),
    Operation(
        "access-status",
        f"{_OWN}/Task-access-status",
        ((_INSTANCE, "r"),),
        frozenset({"Task"}),
        ("GET",),
    ),
    Operation(
        "approve-access",
        f"{_OWN}/Task-approve-access",
        ((_INSTANCE, "u"),),
        frozenset({"Task"}),
        ("POST",),
    ),
    Operation(
        "deny-access",
        f"{_OWN}/Task-deny-access",
        ((_INSTANCE, "u"),),
        frozenset({"Task"}),
        ("POST",),
    ),
    Operation(
        "record-disclosure",
        f"{_CONSENTS}/record-disclosure",
        ((_TYPE, "c"),),
        frozenset({"Consent"}),
        ("POST",),
    ),
    Operation(
        "receipt",
        f"{_OWN}/AuditEvent-receipt",
        ((_INSTANCE, "r"),),
        frozenset({"AuditEvent"}),
        ("GET",),
    ),
)


def find_operation(name: str, type_: str) -> Operation:
    """The operation of a name, for a type (empty for the system).

    Raises:
        LookupError: There is none.
    """
    for operation in OPERATIONS:
        if operation.name == name and (not operation.types or type_ in operation.types):
            return operation
    raise LookupError(name)
