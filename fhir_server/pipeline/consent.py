"""What consent says of located records, before any of them is opened.

Every patient of a record is asked (consent.md, Step 9).  A record that consent denies for its patients alone is dropped here
and never opened; one that depends on its content is opened inside the gate only.
"""

from collections.abc import Sequence

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
    known: dict[bytes, tuple[Verdict, ...]] = {}
    kept: list[SealedVersion] = []
    said: list[tuple[Verdict, ...]] = []
    for version in located.versions:
        if not version.patients and version.type_ in administrative:
            kept.append(version)
            said.append(())
            continue
        own = known.get(version.patients)
        if own is None:
            own = await _permitting(patient_tokens(version), request, policies, reader)
            known[version.patients] = own
        if own:
            kept.append(version)
            said.append(own)
    return Consented(located, tuple(kept), tuple(said))


async def _permitting(
    tokens: Sequence[bytes], request: AccessRequest, policies: Policies, reader: Reader
) -> tuple[Verdict, ...]:
    """What the patients of a record say; nothing if one of them denies whatever is in it."""
    own = []
    for token in tokens or [b""]:
        verdict = await verdict_of(token, request, policies, reader)
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
