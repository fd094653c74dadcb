"""A naive evaluator, written from the text of the algorithm and sharing no code with the engine.

It reads the Consents as JSON for every question, and knows only the few codes and dates that
``strategies.py`` makes.
"""

import json
from typing import Any

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
        unknown = any(c["system"] == "urn:other" for c in value) and t == "deny"
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
