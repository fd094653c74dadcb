"""The engine against a naive evaluator written from the text of the algorithm, without shared code.

The evaluator below reads the Consents as JSON for every question, and knows only the few codes and
dates that the strategies make.
"""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consent_engine import Config, compile_policy, decide

REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
ACTION = "http://terminology.hl7.org/CodeSystem/consentaction"
TYPES = "http://hl7.org/fhir/resource-types"
LOINC = "http://loinc.org"
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"

# purpose or label -> what is above it
ABOVE = {
    "ETREAT": {"TREAT"},
    "BTG": {"ETREAT", "TREAT"},
    "PSY": {"SPI"},
    "SUD": {"SPI", "ETH"},
    "ETH": {"SUD", "SPI"},
    "ETHUD": {"SUD", "SPI", "ETH"},
}
ORDER = "ULMNRV"
SELECTORS = ["actor", "action", "purpose", "securityLabel", "class", "code", "dataPeriod", "data"]
TODAY = "2024-06-01"


def is_below(code: str, above: str) -> bool:
    return code == above or above in ABOVE.get(code, set())


def match_actor(actors: list[Any], t: str, case: dict[str, Any]) -> bool:
    groups: dict[str, list[str]] = {"CST": [], "AUT": [], "IRCP": []}
    for actor in actors:
        role = actor["role"]["coding"][0]["code"]
        groups[role].append(actor["reference"].get("reference"))
    if groups["IRCP"]:
        unnamed = None in groups["IRCP"] and t == "deny"
        nobody = not case["actors"] and t == "deny"
        if not (unnamed or nobody or any(ref in case["actors"] for ref in groups["IRCP"])):
            return False
    if groups["CST"]:
        unknown = (case["custodian"] is None or None in groups["CST"]) and t == "deny"
        if not unknown and case["custodian"] not in [ref for ref in groups["CST"] if ref]:
            return False
    if groups["AUT"]:
        author = case["resource"].get("performer", [{}])[0].get("reference")
        unknown = (author is None or None in groups["AUT"]) and t == "deny"
        if not unknown and (author is None or author not in groups["AUT"]):
            return False
    return True


def match_labels(listed: list[Any], t: str, case: dict[str, Any]) -> bool:
    labels = [c["code"] for c in case["resource"].get("meta", {}).get("security", [])]
    sensitive = [code for code in labels if code not in ORDER]
    ranks = [ORDER.index(code) for code in labels if code in ORDER]
    effective = max(ranks) if ranks else ORDER.index("R" if sensitive else "N")
    ranked = [ORDER.index(c["code"]) for c in listed if c["code"] in ORDER]
    wanted = [c["code"] for c in listed if c["code"] not in ORDER]
    if t == "deny":
        touching = any(is_below(s, w) or is_below(w, s) for s in sensitive for w in wanted)
        return (bool(ranked) and effective >= min(ranked)) or touching
    if ranked and effective > max(ranked):
        return False
    covered = [any(is_below(s, w) for w in wanted) for s in sensitive]
    if wanted and not all(covered):
        return False
    return bool(ranked) or any(covered)


def match_data(listed: list[Any], t: str, case: dict[str, Any]) -> bool:
    own = f"{case['resource']['resourceType']}/{case['resource']['id']}"
    author = case["resource"].get("performer", [{}])[0].get("reference")
    out = {r["reference"] for r in case["resource"].get("performer", [])}
    out |= {case["resource"][n]["reference"] for n in ("encounter",) if n in case["resource"]}
    for each in listed:
        named, meaning = each["reference"]["reference"], each["meaning"]
        if meaning == "authoredby":
            if author == named or (author is None and t == "deny"):
                return True
            continue
        if named == own or (meaning in ("related", "dependents") and named in out):
            return True
        if meaning == "related":
            if named not in case["graph"]:
                if t == "deny":
                    return True
            elif own in case["graph"][named]:
                return True
    return False


def match_element(name: str, value: Any, t: str, case: dict[str, Any]) -> bool:
    resource = case["resource"]
    if name == "actor":
        return match_actor(value, t, case)
    if name == "action":
        codes = [c["coding"][0]["code"] for c in value]
        return t == "deny" if case["action"] is None else case["action"] in codes
    if name == "purpose":
        if case["purpose"] is None:
            return t == "deny"
        return any(is_below(case["purpose"], c["code"]) for c in value)
    if name == "securityLabel":
        return match_labels(value, t, case)
    if name == "class":
        unknown = any(c["system"] != TYPES for c in value) and t == "deny"
        return unknown or resource["resourceType"] in [c["code"] for c in value]
    if name == "code":
        return resource.get("code", {}).get("coding", [{}])[0].get("code") in [
            c["coding"][0]["code"] for c in value
        ]
    if name == "dataPeriod":
        date = resource.get("effectiveDateTime")
        return t == "deny" if date is None else value["start"] <= date <= value["end"]
    return match_data(value, t, case)


def in_period(provision: dict[str, Any]) -> bool:
    period = provision.get("period", {})
    return period.get("start", "0") <= TODAY <= period.get("end", "9")


def evaluate(
    p: dict[str, Any], t: str, named: dict[str, Any], again: dict[str, Any], case: dict[str, Any]
) -> tuple[str, bool] | None:
    """EVAL: the effect and whether the deciding rule names an emergency; None for none."""
    if not in_period(p):
        return None
    own = {name: p[name] for name in SELECTORS if name in p}
    dims, checked = {**named, **own}, {**again, **own}
    children = p.get("provision", [])
    exceptions = [c for c in children if c["type"] != t]
    same = [c for c in children if c["type"] == t]
    additional = [c for c in same if any(n in c and n in dims for n in SELECTORS)]
    narrowing = [c for c in same if c not in additional]
    found: list[tuple[str, bool] | None] = []
    if all(match_element(name, value, t, case) for name, value in checked.items()):
        found.append(inside(t, dims, checked, exceptions, narrowing, case))
    found += [evaluate(c, t, dims, checked, case) for c in additional]
    for effect in ("deny", "permit"):
        for each in found:
            if each is not None and each[0] == effect:
                return each
    return None


def inside(
    t: str, dims: Any, checked: Any, exceptions: Any, narrowing: Any, case: Any
) -> tuple[str, bool] | None:
    for child in exceptions:
        taken = {} if t == "permit" else checked
        result = evaluate(child, child["type"], dims, taken, case)
        if result is not None and result[0] == child["type"]:
            return result
    emergency = any(c["code"] in ("BTG", "ETREAT") for c in dims.get("purpose", []))
    if t == "permit" and narrowing:
        results = [evaluate(c, t, dims, checked, case) for c in narrowing]
        for effect in ("deny", "permit"):
            for each in results:
                if each is not None and each[0] == effect:
                    return each
        return None
    return t, emergency


def rule(consent: dict[str, Any], case: dict[str, Any]) -> tuple[str, bool]:
    """Steps 2 to 4: the status of a Consent and whether an emergency is named by what decides."""
    if consent["status"] != "active" or not in_period(consent.get("provision", {})):
        return "ignored", False
    coding = consent.get("policyRule", {}).get("coding", [{}])[0].get("code")
    base = {"OPTIN": "permit", "OPTOUT": "deny"}.get(coding)
    status = rule_root(consent.get("provision"), base, case)
    failed = any(not v["verified"] for v in consent.get("verification", []))
    return ("abstain", False) if status[0] == "permit" and failed else status


def rule_root(root: Any, base: str | None, case: dict[str, Any]) -> tuple[str, bool]:
    weak = ("base-deny", False)
    # What cannot be interpreted may have been about the emergency.
    unclear = ("indeterminate", '"BTG"' in json.dumps(root) or '"ETREAT"' in json.dumps(root))
    if root is None:
        return (base, False) if base else unclear
    if "type" in root:
        r = evaluate(root, root["type"], {}, {}, case)
        if r is None and root["type"] == "deny" and base == "permit":
            return "permit", False
        return r or (weak if base == "deny" else ("abstain", False))
    if base is None:
        return unclear
    if not any(name in root for name in SELECTORS):
        r = evaluate(root, base, {}, {}, case)
        if base == "deny" and r == ("deny", False) and "provision" in root:
            nested = [evaluate(c, "deny", {}, {}, case) for c in root["provision"]]
            denied = [
                n
                for c, n in zip(root["provision"], nested, strict=True)
                if c["type"] == "deny" and n is not None and n[0] == "deny"
            ]
            permitted = [
                n
                for c, n in zip(root["provision"], nested, strict=True)
                if c["type"] == "deny" and n is not None and n[0] == "permit"
            ]
            return denied[0] if denied else permitted[0] if permitted else weak
        return r or ("abstain", False)
    recipient = any(
        a["role"]["coding"][0]["code"] not in ("CST", "AUT") for a in root.get("actor", [])
    )
    t = "deny" if base == "permit" or not recipient else "permit"
    return evaluate(root, t, {}, {}, case) or (("permit", False) if base == "permit" else weak)


def naive(case: dict[str, Any]) -> tuple[str, str]:
    own = [(rule(c, case), "consent") for c in case["consents"]]
    admin = [(rule(c, case), "admin") for c in case["admin"]]
    asked = own + admin
    if "Patient/1" in case["actors"]:
        asked = admin
        if not any(s in ("deny", "indeterminate") for (s, _), _ in admin):
            return "permit", "self"
    denies = [(s, e, who) for (s, e), who in asked if s in ("deny", "indeterminate")]
    permits = [who for (s, _), who in asked if s == "permit"]
    weak = any(s == "base-deny" for (s, _), _ in asked)
    emergency = any(e for _, e, _ in denies)
    if denies:
        real = [who for s, _, who in denies if s == "deny"]
        basis = ("consent" if "consent" in real else "admin") if real else "indeterminate"
        answer = ("deny", basis)
    elif permits:
        answer = ("permit", "consent" if "consent" in permits else "admin")
    else:
        answer = ("deny", "base") if weak else (case["default"], "default")
    may_break = case["purpose"] == "BTG" and "Group/er" in case["actors"]
    if answer[0] == "deny" and may_break and not emergency:
        return "permit", "break-glass"
    return answer


def codings(system: str, codes: list[str]) -> st.SearchStrategy[list[dict[str, str]]]:
    each = st.sampled_from(codes).map(lambda code: {"system": system, "code": code})
    return st.lists(each, min_size=1, max_size=2)


PEOPLE = ["Practitioner/1", "Organization/1"]
ROLES = st.sampled_from(["IRCP", "IRCP", "CST", "AUT"])
REFERENCES = st.sampled_from([{"reference": r} for r in PEOPLE] + [{"display": "somebody"}])
ACTORS = st.lists(
    st.builds(
        lambda role, reference: {
            "role": {"coding": [{"system": PARTICIPATION, "code": role}]},
            "reference": reference,
        },
        ROLES,
        REFERENCES,
    ),
    min_size=1,
    max_size=2,
)
PERIODS = st.sampled_from(
    [
        {"start": "2024-01-01", "end": "2024-12-31"},
        {"start": "2024-06-01", "end": "2024-06-01"},
        {"start": "2020-01-01", "end": "2023-12-31"},
    ]
)
LABELS = st.lists(
    st.sampled_from(["N", "R", "V", "PSY", "SPI", "SUD", "ETH", "ETHUD", "HIV"]).map(
        lambda c: {"system": CONFIDENTIALITY if c in ORDER else ACT, "code": c}
    ),
    min_size=1,
    max_size=2,
)
DATA = st.lists(
    st.builds(
        lambda meaning, reference: {"meaning": meaning, "reference": {"reference": reference}},
        st.sampled_from(["instance", "related", "dependents", "authoredby"]),
        st.sampled_from(["Observation/r", "Encounter/1", "Task/1", "Practitioner/1"]),
    ),
    min_size=1,
    max_size=2,
)
OPTIONAL = {
    "actor": ACTORS,
    "action": codings(ACTION, ["access", "correct"]).map(lambda cs: [{"coding": [c]} for c in cs]),
    "purpose": codings(REASON, ["TREAT", "ETREAT", "BTG", "HPAYMT"]),
    "securityLabel": LABELS,
    "class": st.one_of(
        codings(TYPES, ["Observation", "Condition"]), codings("urn:other", ["Observation2"])
    ),
    "code": codings(LOINC, ["1-1", "2-2"]).map(lambda cs: [{"coding": [c]} for c in cs]),
    "dataPeriod": PERIODS,
    "data": DATA,
    "period": PERIODS,
}


@st.composite
def provisions(draw: st.DrawFn, depth: int = 3, nested: bool = False) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(OPTIONAL)), max_size=2, unique=True))
    found: dict[str, Any] = {name: draw(OPTIONAL[name]) for name in names}
    if nested or draw(st.booleans()):
        found["type"] = draw(st.sampled_from(["permit", "deny"]))
    if depth > 1 and draw(st.integers(0, 2)):
        found["provision"] = draw(
            st.lists(provisions(depth=depth - 1, nested=True), min_size=1, max_size=2)
        )
    return found or {"type": "permit"}


@st.composite
def consents(draw: st.DrawFn, patient: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Consent",
        "status": draw(st.sampled_from(["active", "active", "active", "inactive"])),
        "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
    }
    if patient:
        found["patient"] = {"reference": "Patient/1"}
    coding = draw(st.sampled_from([None, "OPTIN", "OPTOUT"]))
    if coding:
        found["policyRule"] = {"coding": [{"system": ACT, "code": coding}]}
    if draw(st.integers(0, 5)):
        found["provision"] = draw(provisions())
    if not draw(st.integers(0, 5)):
        found["verification"] = [{"verified": draw(st.booleans())}]
    return found


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": draw(st.sampled_from(["Observation", "Condition"])),
        "id": "r",
    }
    labels = draw(st.one_of(st.just([]), LABELS))
    if labels:
        found["meta"] = {"security": labels}
    if draw(st.booleans()):
        found["code"] = {"coding": [draw(codings(LOINC, ["1-1", "2-2"]))[0]]}
    if draw(st.booleans()):
        found["effectiveDateTime"] = draw(st.sampled_from(["2022-05-05", "2024-03-03"]))
    if draw(st.booleans()):
        found["performer"] = [{"reference": draw(st.sampled_from(PEOPLE))}]
    if draw(st.booleans()):
        found["encounter"] = {"reference": "Encounter/1"}
    return found


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    people = st.sampled_from([*PEOPLE, "Practitioner/9", "Group/er", "Patient/1"])
    return {
        "consents": draw(st.lists(consents(), max_size=3)),
        "admin": draw(st.lists(consents(patient=False), max_size=1)),
        "actors": draw(st.frozensets(people, max_size=3)),
        "purpose": draw(st.sampled_from([None, "TREAT", "ETREAT", "BTG", "HPAYMT"])),
        "action": draw(st.sampled_from([None, "access", "correct"])),
        "custodian": draw(st.sampled_from([None, "Organization/1", "Organization/2"])),
        "default": draw(st.sampled_from(["deny", "deny", "permit"])),
        "resource": draw(records()),
        "graph": draw(
            st.dictionaries(
                st.sampled_from(["Encounter/1", "Task/1", "Observation/r", "Practitioner/1"]),
                st.lists(st.sampled_from(["Observation/r", "Condition/r"]), max_size=1),
                max_size=4,
            )
        ),
    }


def config_of(case: dict[str, Any]) -> Config:
    return Config(
        case["default"], admin_policies=tuple(case["admin"]), break_glass=frozenset({"Group/er"})
    )


def request_of(world: Any, case: dict[str, Any]) -> Any:
    return world.request(
        **{name: case[name] for name in ("actors", "purpose", "action", "custodian")}
    )


@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_the_engine_agrees_with_the_text_of_the_algorithm(world: Any, case: dict[str, Any]) -> None:
    request, config = request_of(world, case), config_of(case)
    found = decide(
        ["Patient/1"], case["consents"], request, case["resource"], config, case["graph"]
    )
    assert (found.decision.value, found.basis.value) == naive(case)


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_a_verdict_that_needs_no_record_says_what_it_says_of_any_record(
    world: Any, case: dict[str, Any]
) -> None:
    verdict = compile_policy(case["consents"], config_of(case), "Patient/1").narrow(
        request_of(world, case)
    )
    found = verdict.decide(case["resource"], case["graph"])
    if verdict.decision is None:
        assert verdict.kind == "depends"
    else:
        assert verdict.kind == verdict.decision.decision == found.decision


@settings(max_examples=60, deadline=None)
@given(case=cases(), extra=consents())
def test_one_more_deny_never_turns_a_deny_into_a_permit(
    world: Any, case: dict[str, Any], extra: dict[str, Any]
) -> None:
    extra["provision"] = {**extra.get("provision", {}), "type": "deny"}
    extra["provision"].pop("provision", None)
    extra.pop("policyRule", None)
    request, config = request_of(world, case), config_of(case)
    rest = (request, case["resource"], config, case["graph"])
    before = decide(["Patient/1"], case["consents"], *rest)
    after = decide(["Patient/1"], [*case["consents"], extra], *rest)
    if before.decision == "deny":
        assert after.decision == "deny"


@settings(max_examples=60, deadline=None)
@given(case=cases(), extra=consents(), status=st.sampled_from(["inactive", "rejected"]))
def test_a_revoked_consent_is_as_if_it_were_absent(
    world: Any, case: dict[str, Any], extra: dict[str, Any], status: str
) -> None:
    request, config = request_of(world, case), config_of(case)
    rest = (request, case["resource"], config, case["graph"])
    revoked = {**extra, "status": status, "id": "revoked"}
    without = decide(["Patient/1"], case["consents"], *rest)
    with_it = decide(["Patient/1"], [*case["consents"], revoked], *rest)
    assert with_it.decision is without.decision
    assert with_it.basis is without.basis
    assert with_it.decided_by == without.decided_by
    assert with_it.valid_until == without.valid_until


JUNK = st.sampled_from([None, "", "x", 0, 1.5, True, [], {}, [None], ["x"], {"x": 1}, [[]], [{}]])


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """A permit in which one element, at any depth, has been replaced by something else."""
    found = draw(consents())
    found["status"] = "active"
    found.setdefault("provision", {"type": "permit"})
    node: Any = found
    while True:
        name = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node[name], dict | list) and node[name] and draw(st.booleans()):
            node = node[name]
            continue
        node[name] = draw(JUNK.filter(lambda junk, old=node[name]: type(junk) is not type(old)))
        return found


@settings(max_examples=120, deadline=None)
@given(consent=spoilt(), case=cases())
def test_a_consent_with_an_element_of_the_wrong_type_permits_nothing(
    world: Any, consent: dict[str, Any], case: dict[str, Any]
) -> None:
    config = Config()
    request = world.request(actors=("Practitioner/1",))
    found = decide(["Patient/1"], [consent], request, case["resource"], config, case["graph"])
    assert found.decision == "deny"


@settings(max_examples=60, deadline=None)
@given(
    junk=st.recursive(
        JUNK,
        lambda inner: (
            st.dictionaries(
                st.sampled_from(
                    [
                        "meta",
                        "security",
                        "profile",
                        "id",
                        "resourceType",
                        "performer",
                        "contained",
                        "effectivePeriod",
                        "date",
                        "reference",
                        "coding",
                        "system",
                        "code",
                    ]
                ),
                inner,
            )
            | st.lists(inner, max_size=3)
        ),
    ),
    case=cases(),
)
def test_a_record_of_any_shape_gets_an_answer(world: Any, junk: Any, case: dict[str, Any]) -> None:
    resource = junk if isinstance(junk, dict) else {"meta": junk}
    request, config = request_of(world, case), config_of(case)
    found = decide(["Patient/1"], case["consents"], request, resource, config, case["graph"])
    assert found.decision in ("permit", "deny")
