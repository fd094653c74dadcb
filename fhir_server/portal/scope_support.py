"""Which SMART scopes can work on this server: of R4's types, with parameters that a record can be tested by on its own.

The same is read here as by the gate when it tests a record (``pipeline/gate.py``); custom search parameters count once
their records are in the index.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial

from fhir_server.errors import InvalidParameterError
from fhir_server.interactions.reindex.parameters import InUse, Parameters
from fhir_server.search.match import Matcher
from fhir_server.search.query import parse_criteria
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import ResourceValues, Searchable
from fhir_server.store.database import Database
from fhir_server.vault.vault import Vault
from profiles.definitions import r4
from smart_auth.authorization.scopes import Scope
from smart_auth.errors import UnsupportedScopeError

_NO_TYPE = "a scope names a resource type that this server does not have"
_NO_TEST = "a scope has a parameter that no record can be tested by, or a value that cannot be read"
_AT = datetime(2000, 1, 1, tzinfo=UTC)  # whether a value can be read does not depend on when
_REMEMBERED = 1024


class SearchedScopes:
    """A ``smart_auth.authorization.support.ScopeSupport`` over what can be searched."""

    def __init__(self, vault: Vault, database: Database, base: str) -> None:
        """``base`` is the FHIR base url, without trailing slash."""
        self._vault = vault
        self._database = database
        self._base = base
        self._in_use: Mapping[str, InUse] = {}
        self._use(Searchable(r4()))

    def require(self, scope: Scope) -> None:
        """See ``ScopeSupport.require``."""
        if reason := self._reason(scope.type_, scope.parameters):
            raise UnsupportedScopeError(reason)

    async def reload(self) -> bool:
        """See ``ScopeSupport.reload``."""
        searchable, database = Searchable(r4()), self._database
        tokenizer = Tokenizer(searchable, self._vault.blind)
        parameters = Parameters(
            self._vault, database.reindex, searchable, tokenizer, r4(), database.news.tell
        )
        await parameters.look()
        if parameters.in_use == self._in_use:
            return False
        self._in_use = parameters.in_use
        self._use(searchable)
        return True

    def _use(self, searchable: Searchable) -> None:
        """Judge by these from now on; threads that judge by others meanwhile keep them to the end."""
        self._reason = lru_cache(_REMEMBERED)(partial(_why_not, searchable, self._base))


def _why_not(
    searchable: Searchable, base: str, type_: str, parameters: tuple[tuple[str, str], ...]
) -> str:
    """Why a scope can not work; empty if it can.  One of all types has to work for one of them."""
    types = r4().resource_types if type_ == "*" else r4().resource_types & {type_}
    if not types:
        return _NO_TYPE
    if parameters and not any(_tests(searchable.of(each), parameters, base) for each in types):
        return _NO_TEST
    return ""


def _tests(values: ResourceValues, parameters: tuple[tuple[str, str], ...], base: str) -> bool:
    """Whether a record of one type can be tested by the parameters of a scope."""
    try:
        Matcher(values, parse_criteria(values, parameters), base, _AT)
    except InvalidParameterError:
        return False
    return True
