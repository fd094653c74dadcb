"""The rules by which records are labelled, read from where the settings say."""

from functools import partial
from pathlib import Path

from consent_engine import LabelRuleError, LabelRules, builtin_rules
from fhir_server.errors import SettingsError
from fhir_server.settings import Settings

_BUILTIN, _NONE = "builtin", "none"


def read_label_rules(settings: Settings) -> LabelRules:
    """The rules of ``label_rules``: those that come with the program (``builtin``), and those of files.

    Raises:
        SettingsError: A file can not be read, or holds something else.
    """
    rules = LabelRules()
    for name in settings.label_rules if settings.label_rules != (_NONE,) else ():
        try:
            text = builtin_rules() if name == _BUILTIN else Path(name).read_text("utf-8")
            rules.add(text, partial(_beside, Path(name).parent))
        except (LabelRuleError, OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"label_rules: {name}: {error}") from error
    return rules


def _beside(folder: Path, name: str) -> str:
    return (folder / name).read_text("utf-8")
