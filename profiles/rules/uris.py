"""URIs, canonicals, OIDs and UUIDs (R4 datatypes.html#uri, RFC 3986, RFC 4122)."""

import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:.")
_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OID = re.compile(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+")


def is_absolute(uri: str) -> bool:
    """Whether a URI names its scheme."""
    return _SCHEME.match(uri) is not None


def malformed(uri: str) -> str:
    """What is wrong with a URI of any kind; empty for nothing."""
    if uri.startswith("urn:uuid:") and not _UUID.fullmatch(uri.partition("#")[0].partition("|")[0]):
        return "is not a UUID in lower case"
    if uri.startswith("urn:oid:") and not _OID.fullmatch(uri.partition("|")[0]):
        return "is not an OID"
    return ""
