"""Which security labels a record gets by its codes: the security labelling service (consent.md, 3).

Rules are data.  Form of a rule file (our own): ``{"version": 1, "rules": [...]}``; each rule has an
``id``, a ``label`` (v3-ActCode, below _InformationSensitivityPolicy), ``systems`` that it is about, and
of these ``codes`` (exact), ``prefixes`` (``F10`` covers ``F10.2``), or a ``valueSet``: the name of a
file with a ValueSet that lists its codes, as VSAC gives them.  ``confidentiality`` is the code of
v3-Confidentiality that goes with it, ``R`` unless it is given.  ``basis`` is the v3-ActCode policy for
which the label is set, ``about`` is for people.  Not here: where the labels are put, and when.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources

from . import terms
from .elements import Json
from .errors import LabelRuleError

_MEMBERS = frozenset(
    {
        *("id", "label", "confidentiality", "systems", "codes"),
        *("prefixes", "valueSet", "basis", "about"),
    }
)
_SHORTEST, _LONGEST = 1, 12  # characters of a prefix

ReadFile = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class LabelRule:
    """Why a record is labelled.

    Attributes:
        label: v3-ActCode code.
        basis: v3-ActCode code of the policy it is set for, or empty.
        confidentiality: v3-Confidentiality code that goes with it.
    """

    id_: str
    label: str
    basis: str = ""
    confidentiality: str = "R"


class LabelRules:
    """The rules, by the codes that they are about."""

    def __init__(self) -> None:
        """No rule: nothing gets a label."""
        self._codes: dict[tuple[str, str], dict[str, LabelRule]] = {}
        self._prefixes: dict[str, dict[str, dict[str, LabelRule]]] = {}
        self._ids: set[str] = set()
        self._texts = sha256()

    def __bool__(self) -> bool:
        return bool(self._ids)

    @property
    def fingerprint(self) -> str:
        """What stands for these rules: others have another one; hexadecimal."""
        return self._texts.hexdigest()

    def add(self, text: str, read_file: ReadFile) -> None:
        """Add the rules of a file; ``read_file`` gives the text of a value set that it names.

        Raises:
            LabelRuleError: The message names the rule and what is wrong with it.
        """
        content = _read(text, "the rule file")
        self._texts.update(sha256(text.encode()).digest())
        listed = content.get("rules")
        if content.get("version") != 1 or not isinstance(listed, list):
            raise LabelRuleError("the rule file must have version 1 and a list of rules")
        for rule in listed:
            self._add(rule, self._noting(read_file))

    def labels_of(self, resource: Json) -> tuple[LabelRule, ...]:
        """Return for each label that the record's codes ask for the first rule that does, by label."""
        found: dict[str, LabelRule] = {}
        for coding in _codings(resource):
            for label, rule in self._of(*coding).items():
                known = found.get(label)
                if known is None or rule.id_ < known.id_:
                    found[label] = rule
        return tuple(found[label] for label in sorted(found))

    def _noting(self, read_file: ReadFile) -> ReadFile:
        def read(name: str) -> str:
            text = read_file(name)
            self._texts.update(sha256(text.encode()).digest())
            return text

        return read

    def _of(self, system: str, code: str) -> Mapping[str, LabelRule]:
        exact = self._codes.get((system, code), {})
        prefixes = self._prefixes.get(system)
        if prefixes is None:
            return exact
        found = dict(exact)
        for length in range(_SHORTEST, min(len(code), _LONGEST) + 1):
            for label, rule in prefixes.get(code[:length], {}).items():
                found.setdefault(label, rule)
        return found

    def _add(self, written: object, read_file: ReadFile) -> None:
        if not isinstance(written, dict) or not isinstance(written.get("id"), str):
            raise LabelRuleError("a rule must be an object with an id")
        id_ = written["id"]
        unknown = sorted(set(written) - _MEMBERS)
        if unknown:
            raise LabelRuleError(f"rule {id_}: {unknown[0]} is not known")
        if id_ in self._ids:
            raise LabelRuleError(f"rule {id_} is there twice")
        basis, confidentiality = _text(written, id_, "basis"), _confidentiality(written, id_)
        rule = LabelRule(id_, _label(written, id_), basis, confidentiality)
        systems = _texts(written, id_, "systems")
        codes = [(s, c) for s in systems for c in _texts(written, id_, "codes")]
        codes += _of_value_set(written, id_, read_file)
        prefixes = [(s, p) for s in systems for p in _texts(written, id_, "prefixes")]
        if not codes and not prefixes:
            raise LabelRuleError(f"rule {id_} is about no code")
        if any(not _SHORTEST <= len(prefix) <= _LONGEST for _, prefix in prefixes):
            raise LabelRuleError(f"rule {id_}: a prefix has 1 to {_LONGEST} characters")
        self._ids.add(id_)
        for coding in codes:
            self._codes.setdefault(coding, {}).setdefault(rule.label, rule)
        for system, prefix in prefixes:
            of_system = self._prefixes.setdefault(system, {})
            of_system.setdefault(prefix, {}).setdefault(rule.label, rule)


def builtin_rules() -> str:
    """Return the text of the rules that come with the program: a short list to begin with."""
    return resources.files(__package__).joinpath("labels/sensitivity.json").read_text("utf-8")


def _codings(resource: Json) -> Iterator[tuple[str, str]]:
    """Every coding of a record but those of ``meta``, which are labels themselves."""
    waiting: list[object] = [value for name, value in resource.items() if name != "meta"]
    while waiting:
        node = waiting.pop()
        if type(node) is list:
            waiting += node
        elif type(node) is dict:
            code, system = node.get("code"), node.get("system")
            if type(code) is str and type(system) is str:
                yield system, code
            waiting += [v for v in node.values() if type(v) is dict or type(v) is list]


def _label(written: Json, id_: str) -> str:
    label = written.get("label")
    if not isinstance(label, str) or not terms.is_known_sensitivity(label):
        raise LabelRuleError(f"rule {id_}: label must be a sensitivity code of v3-ActCode")
    return label


def _confidentiality(written: Json, id_: str) -> str:
    code = written.get("confidentiality", "R")
    if not isinstance(code, str) or code not in terms.RANKS:
        raise LabelRuleError(f"rule {id_}: confidentiality must be one of {', '.join(terms.RANKS)}")
    return code


def highest(rules: Iterable[LabelRule]) -> LabelRule:
    """Return the rule with the highest confidentiality, the first of several by id."""
    return min(rules, key=lambda rule: (-terms.RANKS[rule.confidentiality], rule.id_))


def _text(written: Json, id_: str, name: str) -> str:
    value = written.get(name, "")
    if not isinstance(value, str):
        raise LabelRuleError(f"rule {id_}: {name} must be a text")
    return value


def _texts(written: Json, id_: str, name: str) -> list[str]:
    value = written.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise LabelRuleError(f"rule {id_}: {name} must be a list of texts")
    return value


def _of_value_set(written: Json, id_: str, read_file: ReadFile) -> list[tuple[str, str]]:
    name = _text(written, id_, "valueSet")
    if not name:
        return []
    value_set = _read(read_file(name), f"rule {id_}: the value set")
    if value_set.get("resourceType") != "ValueSet":
        raise LabelRuleError(f"rule {id_}: the file is no ValueSet")
    found = [*_expanded(value_set), *_composed(value_set)]
    if not found:
        raise LabelRuleError(f"rule {id_}: the ValueSet lists no codes (give it expanded)")
    return found


def _expanded(value_set: Json) -> Iterator[tuple[str, str]]:
    expansion = value_set.get("expansion")
    waiting = _objects(expansion.get("contains")) if isinstance(expansion, dict) else []
    while waiting:
        each = waiting.pop()
        waiting += _objects(each.get("contains"))
        system, code = each.get("system"), each.get("code")
        if isinstance(system, str) and isinstance(code, str) and each.get("abstract") is not True:
            yield system, code


def _composed(value_set: Json) -> Iterator[tuple[str, str]]:
    compose = value_set.get("compose")
    for include in _objects(compose.get("include")) if isinstance(compose, dict) else []:
        system = include.get("system")
        for concept in _objects(include.get("concept")):
            code = concept.get("code")
            if isinstance(system, str) and isinstance(code, str):
                yield system, code


def _objects(value: object) -> list[dict[str, object]]:
    listed: Iterable[object] = value if isinstance(value, list) else ()
    return [each for each in listed if isinstance(each, dict)]


def _read(text: str, what: str) -> dict[str, object]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabelRuleError(f"{what} is not JSON") from error
    if not isinstance(content, dict):
        raise LabelRuleError(f"{what} must be an object")
    return content
