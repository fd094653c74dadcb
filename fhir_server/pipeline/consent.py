"""What consent says of located records, before any of them is opened.

Every patient of a record is asked (consent.md, Step 9).  A record that consent denies for its patients alone is dropped here
and never opened; one that depends on its content is opened inside the gate only.
"""

from collections.abc import Iterable

from consent_engine import AccessRequest, Kind, Policy, Verdict
from fhir_server.forms import Consented, Located
from fhir_server.pipeline.policies import Policies
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Reader, patient_tokens


async def consent(
    located: Located,
    request: AccessRequest,
    policies: Policies,
    reader: Reader,
    administrative: frozenset[str],
) -> Consented:
    """Decide what can be decided without the records' content."""
    one_of = {version.patients: version for version in located.versions}
    owned = {patients: patient_tokens(version) for patients, version in one_of.items()}
    found = await policies.of_each({token for each in owned.values() for token in each}, reader)
    nobody = policies.of_nobody()
    verdicts = {
        patients: _permitting([found[token] for token in tokens] or [nobody], request)
        for patients, tokens in owned.items()
    }
    kept: list[SealedVersion] = []
    said: list[tuple[Verdict, ...]] = []
    for version in located.versions:
        own = verdicts[version.patients]
        free = not version.patients and version.type_ in administrative
        if own or free:
            kept.append(version)
            said.append(() if free else own)
    return Consented(located, tuple(kept), tuple(said))


def _permitting(policies: Iterable[Policy], request: AccessRequest) -> tuple[Verdict, ...]:
    """What the patients of a record say; nothing if one of them denies whatever is in it."""
    own = []
    for policy in policies:
        verdict = policy.narrow(request)
        if verdict.kind is Kind.DENY:
            return ()
        own.append(verdict)
    return tuple(own)


async def verdict_of(
    token: bytes, request: AccessRequest, policies: Policies, reader: Reader
) -> Verdict:
    """What one patient (by token; empty for nobody) says to this request."""
    policy = await policies.of(token, reader) if token else policies.of_nobody()
    return policy.narrow(request)
