"""Links to the next page: sealed, bound to the caller and to the search, good for a limited time.

Form of a cursor, base64url: ``seal.py``'s sealed form of JSON ``{"a": after, "e": expires, ...}`` under the server's cursor
key, with the caller and the search as associated data: nobody else can follow it, not even with a valid token, and
nothing in it can be read or changed.  It carries a place, no permission: each page is authorised and decided anew.
"""

import base64
import binascii

import orjson

from fhir_server.crypto.seal import DataKey, place
from fhir_server.errors import InvalidParameterError, TamperedRecordError
from fhir_server.interactions.orders import Orders
from smart_auth.tokens.bearer import Caller

Place = list[object]
_GONE = "this page link is not valid for you, or has expired: search again"


def owner_of(caller: Caller | None) -> str:
    """Whom a link is made for: the client, with the user and the patient in context."""
    return f"{caller.client_id}|{caller.subject}|{caller.patient}" if caller else ""


class Cursors:
    """Makes and reads page links with a key of 32 bytes; ``lifetime`` in milliseconds.

    Attributes:
        orders: Of sorted searches, for as long as their links are good.
    """

    def __init__(self, key: bytes, lifetime: int) -> None:
        self._key = DataKey(b"cursors", key)
        self._lifetime = lifetime
        self.orders = Orders(lifetime)

    def make(self, after: Place, owner: str, search: str, now: int) -> str:
        """A link place for ``owner`` (the token's grant) in ``search``; ``now`` in ms since 1970 UTC."""
        content = orjson.dumps({"a": after, "e": now + self._lifetime})
        sealed = self._key.seal(content, place((owner.encode(), search.encode())))
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def read(self, cursor: str, owner: str, search: str, now: int) -> Place:
        """The place that ``make`` put in.

        Raises:
            InvalidParameterError: It is another's, of another search, altered or expired.
        """
        try:
            sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            content = orjson.loads(self._key.open(sealed, place((owner.encode(), search.encode()))))
        except (binascii.Error, ValueError, TamperedRecordError) as error:
            raise InvalidParameterError(_GONE) from error
        if content["e"] < now:
            raise InvalidParameterError(_GONE)
        after: Place = content["a"]
        return after
