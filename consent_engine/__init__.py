"""What patients allow: pure functions, dictionaries and times in, verdicts out.

Implements consent.md (R4 Consent.provision, with the R5/R6 notes where R4 is silent).  The caller
compiles a ``Policy`` from the Consents of one patient, narrows it to one requester, and asks the
``Verdict`` about each record.  Not here: selecting the Consents, putting labels on records, redacting.
"""

from .cases import Case, read_case
from .decision import AccessRequest, Basis, Coding, Config, DecidedBy, Decision, Kind, literal
from .elements import Problem
from .errors import CaseError, ConsentEngineError, LabelRuleError, UnknownTemplateError
from .labelling import LabelRule, LabelRules, builtin_rules, highest
from .policy import Compiler, Policy, compile_policy, decide, join_subjects, narrow_subjects
from .review import review
from .templates import (
    PATIENT_TEMPLATES,
    TEMPLATES,
    is_mandatory,
    load_template,
    patient_template,
    template_text,
)
from .terms import purposes_covered
from .verdict import Verdict

__all__ = [
    "PATIENT_TEMPLATES",
    "TEMPLATES",
    "AccessRequest",
    "Basis",
    "Case",
    "CaseError",
    "Coding",
    "Compiler",
    "Config",
    "ConsentEngineError",
    "DecidedBy",
    "Decision",
    "Kind",
    "LabelRule",
    "LabelRuleError",
    "LabelRules",
    "Policy",
    "Problem",
    "UnknownTemplateError",
    "Verdict",
    "builtin_rules",
    "compile_policy",
    "decide",
    "highest",
    "is_mandatory",
    "join_subjects",
    "literal",
    "load_template",
    "narrow_subjects",
    "patient_template",
    "purposes_covered",
    "read_case",
    "review",
    "template_text",
]
