"""Security labels that a record gets by its codes, put into ``meta.security`` whenever it is written (HL7 DS4P).

A label that was set here carries who set it and for what (DS4P's ``sec-label-classifier`` and ``sec-label-basis``), and the
rule that asked for it.  Those are made anew with each version; labels without a rule were set by somebody, and stay.
"""

import json
from collections.abc import Sequence

from consent_engine import LabelRule, LabelRules, highest
from fhir_server.forms import Json
from fhir_server.resource_text import ResourceText, read_resource
from profiles.patch.tree import Tree

RULE = "https://consentry.example/StructureDefinition/label-rule"
_DS4P = "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition"
_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
# Their codes say what is permitted, done or proved, not what somebody has.
_NEVER = frozenset({"Consent", "AuditEvent", "Provenance", "Binary"})


class Labelling:
    """The rules of a server, and who answers for them.

    Args:
        custodian: Reference of the organization that holds the records.
        administrative: Types that can not speak of patients.
    """

    def __init__(self, rules: LabelRules, custodian: str, administrative: frozenset[str]) -> None:
        self._rules = rules
        self._custodian = custodian
        self._left_out = administrative | _NEVER

    @property
    def fingerprint(self) -> str:
        """Of the rules: others have another one."""
        return self._rules.fingerprint

    def concerns(self, type_: str) -> bool:
        """Whether records of a type get labels."""
        return type_ not in self._left_out

    def labelled(self, resource: ResourceText) -> ResourceText:
        """The resource with the labels that its codes ask for; what else stands in it keeps its bytes."""
        if not self.concerns(resource.type_):
            return resource
        there = _security(resource.value)
        asked = self._rules.labels_of(resource.value) if self._rules else ()
        if not asked and not any(_rule_of(label) for label in there):
            return resource
        own = {_key(label) for label in there if not _rule_of(label)}
        wanted = [
            self._label(rule, _ACT_CODE, rule.label)
            for rule in asked
            if (_ACT_CODE, rule.label) not in own
        ]
        if asked and not any(_is_confidentiality(label) for label in there if not _rule_of(label)):
            top = highest(asked)
            wanted.append(self._label(top, _CONFIDENTIALITY, top.confidentiality))
        if [label for label in there if _rule_of(label)] == wanted:
            return resource
        return _relabelled(resource, wanted)

    def _label(self, rule: LabelRule, system: str, code: str) -> Json:
        classifier = {"reference": self._custodian, "display": "labelling by rules"}
        extensions: list[Json] = [
            {"url": f"{_DS4P}/extension-sec-label-classifier", "valueReference": classifier},
            {"url": RULE, "valueString": rule.id_},
        ]
        if rule.basis:
            basis = {"system": _ACT_CODE, "code": rule.basis}
            extensions.insert(
                0, {"url": f"{_DS4P}/extension-sec-label-basis", "valueCoding": basis}
            )
        return {"extension": extensions, "system": system, "code": code}


def _relabelled(resource: ResourceText, wanted: Sequence[Json]) -> ResourceText:
    whole = Tree(resource.text.strip())
    assert whole.members is not None
    if "meta" not in whole.members:
        whole.put("meta", Tree("{}"))
    meta = whole.members["meta"]
    assert meta.members is not None, "it was validated"
    there = meta.members["security"].items if "security" in meta.members else ()
    kept = [item for item in there or () if not _rule_of(item.value)]
    made = [*kept, *(Tree(json.dumps(label, ensure_ascii=False)) for label in wanted)]
    if made:
        meta.put("security", Tree.array(made))
    else:
        meta.members.pop("security", None)
        if not meta.members:
            whole.members.pop("meta")
    return read_resource(whole.text.encode())


def _security(value: Json) -> list[object]:
    meta = value.get("meta")
    found = meta.get("security") if isinstance(meta, dict) else None
    return found if isinstance(found, list) else []


def _rule_of(label: object) -> str:
    """The rule that asked for a label; empty if somebody has set it."""
    extensions = label.get("extension") if isinstance(label, dict) else None
    for each in extensions if isinstance(extensions, list) else ():
        if isinstance(each, dict) and each.get("url") == RULE:
            return str(each.get("valueString"))
    return ""


def _is_confidentiality(label: object) -> bool:
    return isinstance(label, dict) and label.get("system") == _CONFIDENTIALITY


def _key(label: object) -> object:
    return (label.get("system"), label.get("code")) if isinstance(label, dict) else label
