"""What consent says of located records, before any of them is opened.

Every patient of a record is asked (consent.md, Step 9).  A record that consent denies for its patients alone is dropped here
and never opened; one that depends on its content is opened inside the gate only.
"""

from consent_engine import AccessRequest, Kind, Verdict
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
    verdicts: dict[bytes, Verdict] = {}
    kept: list[SealedVersion] = []
    said: list[tuple[Verdict, ...]] = []
    for version in located.versions:
        if not version.patients and version.type_ in administrative:
            kept.append(version)
            said.append(())
            continue
        own = []
        for token in patient_tokens(version) or [b""]:
            if token not in verdicts:
                verdicts[token] = await verdict_of(token, request, policies, reader)
            own.append(verdicts[token])
        if all(v.kind is not Kind.DENY for v in own):
            kept.append(version)
            said.append(tuple(own))
    return Consented(located, tuple(kept), tuple(said))


async def verdict_of(
    token: bytes, request: AccessRequest, policies: Policies, reader: Reader
) -> Verdict:
    """What one patient (by token; empty for nobody) says to this request."""
    policy = await policies.of(token, reader) if token else policies.of_nobody()
    return policy.narrow(request)
