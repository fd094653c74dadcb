"""Why consent decided so: from the AuditEvent of what was given, from the engine for what was not.

A refusal leaves no trace that would tell a reader what was withheld, so its reason is asked of ``consent_engine`` with the
patient's own Consent and the deployment's policies, as the server has them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from consent_engine import AccessRequest, Coding, Config, decide, load_template
from fhir_server.commands.story.asking import Caller, Json, Reply
from fhir_server.commands.story.errors import StepError
from fhir_server.commands.story.play import Play
from fhir_server.commands.story.server import environment
from fhir_server.sample import people
from fhir_server.settings import read_settings

_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_RECENT = 50


def why_given(play: Play, reply: Reply) -> str:
    """What the AuditEvent of a request says: basis and rules.

    Raises:
        StepError: It is not on record.
    """
    event = event_of(play, reply)
    bases = ", ".join(details(event, "consent-basis")) or "none needed"
    rules = [
        _rule(play, policy) for agent in _list(event, "agent") for policy in _texts(agent, "policy")
    ]
    return f"{bases}{': ' if rules else ''}{'; '.join(dict.fromkeys(rules))}"


def why_not(play: Play, caller: Caller, resource: Json) -> str:
    """Why a record is not given to a caller, in the engine's words.

    Raises:
        StepError: The engine would give it.
    """
    policy = read_settings(environment({})).policy_name
    config = Config(
        admin_policies=tuple(
            each for name in policy.split(",") for each in load_template(name, people.CLINIC)
        ),
        break_glass=frozenset({people.HOSPITAL}),
    )
    request = AccessRequest(
        frozenset(caller.actors),
        frozenset(),
        Coding(_ACT_REASON, caller.purpose),
        "access",
        datetime.now(UTC),
        people.CLINIC,
    )
    consents = [play.consent] if play.consent else []
    decision = decide([play.patient], consents, request, resource, config)
    if decision.decision != "deny":
        raise StepError("the consent engine would permit what the server withheld")
    rules = [_named(play, rule.consent, rule.path) for rule in decision.decided_by]
    return f"deny, {decision.basis}: {'; '.join(rules) or 'no Consent or policy permits it'}"


def excepted(play: Play, caller: Caller) -> str:
    """Which deny of the patient's Consent does not hold for a caller whom it names as an exception."""
    root = play.consent.get("provision")
    for place, rule in enumerate(_list(root, "provision") if isinstance(root, dict) else []):
        for exception in _list(rule, "provision"):
            named = [a["reference"] for a in _list(exception, "actor")]
            if any(isinstance(n, dict) and n.get("reference") in caller.actors for n in named):
                return f"provision[{place}], {' '.join(_words(rule))}, excepts {' '.join(_words(exception))}"
    return "no exception"


def event_of(play: Play, reply: Reply) -> Json:
    """The AuditEvent of a request, about a patient, as the privacy officer finds it.

    Raises:
        StepError: There is none.
    """
    auditor = play.person("irisa")
    found = auditor.get(f"AuditEvent?{play.about}&_sort=-_lastUpdated&_count={_RECENT}")
    event = next((e for e in found.resources if traces(e) == reply.request_id), None)
    if event is None:
        raise StepError(f"{reply.asked} has no AuditEvent about the patient")
    return event


def traces(event: Json) -> str:
    """The X-Request-Id that an AuditEvent was recorded under, or empty."""
    for entity in _list(event, "entity"):
        type_ = entity.get("type")
        if isinstance(type_, dict) and type_.get("code") == "XrequestId":
            what = entity["what"]
            return str(what["identifier"]["value"]) if isinstance(what, dict) else ""
    return ""


def details(event: Json, type_: str) -> list[str]:
    """The values of an AuditEvent's details of a type."""
    found = (d for entity in _list(event, "entity") for d in _list(entity, "detail"))
    return [str(d["valueString"]) for d in found if d.get("type") == type_]


def requestor(event: Json) -> str:
    """Who an AuditEvent says asked, and for whom."""
    agents = _list(event, "agent")
    who = next((a["who"] for a in agents if a.get("requestor")), {})
    name = who.get("display", "somebody") if isinstance(who, dict) else "somebody"
    homes = [
        w["reference"] for a in agents if isinstance(w := a.get("who"), dict) and "reference" in w
    ]
    return f"{name} of {homes[-1]}" if homes else str(name)


def _rule(play: Play, policy: str) -> str:
    consent, _, path = policy.partition("#")
    return _named(play, consent.partition("/_history/")[0], path)


def _named(play: Play, consent: str, path: str) -> str:
    """A rule in words: whose it is, and what it says."""
    if consent != f"Consent/{play.consent.get('id')}":
        return f"policy {consent.removeprefix('Consent/')}"
    return f"her Consent, {path.rpartition('provision.')[2]}: {_provision(play.consent, path)}"


def _provision(consent: Json, path: str) -> str:
    found: object = consent
    for part in path.split("."):
        name, _, place = part.partition("[")
        found = found[name] if isinstance(found, dict) else found
        if place and isinstance(found, list):
            found = found[int(place.rstrip("]"))]
    return " ".join(_words(found)) if isinstance(found, dict) else ""


def _words(provision: Json) -> Iterator[str]:
    yield str(provision.get("type"))
    for actor in _list(provision, "actor"):
        reference = actor.get("reference")
        yield str(reference["reference"]).partition("/")[2] if isinstance(reference, dict) else ""
    for name in ("purpose", "securityLabel", "class"):
        codes = [str(coding["code"]) for coding in _list(provision, name)]
        if codes:
            yield f"{name} {'|'.join(codes)}"


def _list(value: Json, name: str) -> list[Json]:
    found = value.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _texts(value: Json, name: str) -> list[str]:
    found = value.get(name)
    return [str(each) for each in found] if isinstance(found, list) else []
