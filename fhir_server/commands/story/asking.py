"""Asking the FHIR server, as somebody: a request with a token, and what came back.

Every request names itself (``X-Request-Id``), so that its AuditEvents can be found.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx2
import orjson

Json = Mapping[str, object]

_MEDIA = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        request_id: Under which the request is on record.
        asked: Method and path, as they were sent.
    """

    status: int
    body: bytes = field(repr=False)
    request_id: str
    asked: str
    etag: str = ""

    @property
    def value(self) -> Json:
        """The body as JSON; empty if there is none."""
        found: Json = orjson.loads(self.body) if self.body else {}
        return found

    @property
    def resources(self) -> list[Json]:
        """The resources of a Bundle."""
        entries = _objects(self.value.get("entry"))
        return _objects([entry.get("resource") for entry in entries])

    @property
    def references(self) -> frozenset[str]:
        """``Type/id`` of each resource of a Bundle; an OperationOutcome in it has none."""
        return frozenset(f"{r['resourceType']}/{r['id']}" for r in self.resources if "id" in r)

    @property
    def total(self) -> object:
        """``Bundle.total``."""
        return self.value.get("total")

    def link(self, relation: str) -> str:
        """A link of a Bundle, or empty."""
        links = _objects(self.value.get("link"))
        return next((str(each["url"]) for each in links if each.get("relation") == relation), "")

    @property
    def words(self) -> str:
        """What an OperationOutcome says."""
        return "; ".join(
            str(each.get("diagnostics", "")) for each in _objects(self.value.get("issue"))
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a token.

    Attributes:
        name: For the telling.
        actors: What the caller is to a Consent: person and organization.
        purpose: v3-ActReason code of the caller's requests.
    """

    name: str
    fhir: str
    token: str = field(repr=False)
    actors: tuple[str, ...]
    purpose: str
    http: httpx2.Client = field(repr=False)

    def get(self, path: str, reason: str = "") -> Reply:
        """GET a path below the base, or a whole url; with a reason, the glass is broken."""
        glass = {"X-Purpose-Of-Use": "BTG", "X-Break-Glass-Reason": quote(reason)} if reason else {}
        return self.send("GET", path, more=glass)

    def post(self, path: str, content: bytes) -> Reply:
        """POST a resource."""
        return self.send("POST", path, content)

    def put(self, path: str, content: bytes, if_match: str = "") -> Reply:
        """PUT a resource, if it is still of this ETag."""
        return self.send("PUT", path, content, {"If-Match": if_match} if if_match else {})

    def send(
        self, method: str, path: str, content: bytes = b"", more: Mapping[str, str] | None = None
    ) -> Reply:
        """Send any request."""
        own = f"story-{secrets.token_hex(8)}"
        headers = {"X-Request-Id": own, "Accept": _MEDIA, **(more or {})}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if content:
            headers["Content-Type"] = _MEDIA
        url = path if path.startswith("http") else f"{self.fhir}/{path}".rstrip("/")
        answer = self.http.request(method, url, content=content, headers=headers)
        etag = answer.headers.get("etag", "")
        return Reply(answer.status_code, answer.content, own, f"{method} {path or '/'}", etag)


def _objects(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
