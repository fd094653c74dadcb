"""Which scopes can work here: the seam to those who know resource types and search parameters.

SMART App Launch 2.2, "Scopes for requesting FHIR Resources", lets a server grant less than was asked.  A scope of a type
that is not there, or with parameters that no record can be tested by, is left out like one that the client is not
registered for; where nothing else was asked, that is ``invalid_scope``.
"""

from __future__ import annotations

from typing import Protocol

from smart_auth.authorization.scopes import Scope, ScopeSet
from smart_auth.errors import InvalidScopeError, UnsupportedScopeError


class ScopeSupport(Protocol):
    """Knows which scopes can work."""

    def require(self, scope: Scope) -> None:
        """Return when records can be told by the scope: its type exists, its parameters can be asked of one record.

        Raises:
            UnsupportedScopeError: With it no request could be answered.
        """
        ...

    async def reload(self) -> bool:
        """Learn again what is searched by; tell whether that has changed."""
        ...


class AnyScope:
    """Takes every scope that follows the grammar: where nobody knows more."""

    def require(self, scope: Scope) -> None:
        """See ``ScopeSupport.require``."""

    async def reload(self) -> bool:
        """See ``ScopeSupport.reload``."""
        return False


def supported(scopes: ScopeSet, support: ScopeSupport) -> ScopeSet:
    """Return the set without the scopes that can not work."""
    kept = tuple(scope for scope in scopes.resources if _works(scope, support))
    return scopes if len(kept) == len(scopes.resources) else ScopeSet(kept, scopes.words)


def require_some(granted: ScopeSet, support: ScopeSupport) -> ScopeSet:
    """Return what of ``granted`` can work.

    Args:
        granted: What the client may be granted of what it asked.

    Raises:
        UnsupportedScopeError: None of it can; the message says why its first can not.
        InvalidScopeError: The client may be granted nothing.
    """
    if not granted:
        raise InvalidScopeError("none of the scopes may be granted to this client")
    found = supported(granted, support)
    if not found:
        support.require(granted.resources[0])
    return found


def _works(scope: Scope, support: ScopeSupport) -> bool:
    try:
        support.require(scope)
    except UnsupportedScopeError:
        return False
    return True
