"""What a check of a resource finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that the standard does not allow, or advises against.

    Attributes:
        expression: FHIRPath of the element.
        code: R4 IssueType: structure, required, value, code-invalid, invariant, invalid, not-supported.
        message: What is asked there; never what was sent.
        severity: error or warning.
        rule: Key of the invariant, or kind of rule (binding, target, uri ...); empty for structure.
    """

    expression: str
    code: str
    message: str
    severity: str = "error"
    rule: str = ""
