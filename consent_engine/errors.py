"""The errors of the room.

ConsentEngineError
├── LabelRuleError        a rule by which records are labelled cannot be used
├── CaseError             a case given to the command line cannot be read
└── UnknownTemplateError  no policy template has this name

A Consent that cannot be interpreted is no error: it denies, and its Decision says why.
"""


class ConsentEngineError(Exception):
    """Root of the errors of the consent engine; no permit may be concluded from any of them."""


class CaseError(ConsentEngineError):
    """A case given to the command line cannot be read; the message names the element."""


class LabelRuleError(ConsentEngineError):
    """A rule of labelling cannot be used; the message names it."""


class UnknownTemplateError(ConsentEngineError):
    """There is no policy template of this name."""
