"""Credentials that accreditors attest elsewhere: to whom they are bound here, and until when they hold.

A person, a client or an organization may be bound to credentials; whoever is bound, or is of an
organization that is, and has one that does not hold now, is as if she or it were not there: no
token is issued or renewed, none that was is good.  Where the state of a credential comes from (a
registry on a chain) is not this room's: it is told, and what was told last holds until it expires,
whether or not there is anybody to tell more.  One that nothing was told about does not hold.

Stored form (our own), of the one entry of kind ``credentials``: ``0x01 | JSON object in UTF-8``:
``bound``, for each subject its credentials with the level that is asked for; ``states``, for each
credential its level and until when it holds (seconds since the epoch).  A subject is ``user:NAME``,
``client:ID`` or ``Organization/ID``.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from smart_auth.errors import ChangedError, ConfigurationError
from smart_auth.store import Entry, RegisterStore, digest, json_of, stored_form

_KIND = "credentials"
_ONLY = digest(_KIND)


@dataclass(frozen=True, slots=True)
class State:
    """How a credential stands.

    Attributes:
        level: Up to which level it holds; 0 for not at all.
        expires: From when on it does not hold, seconds since the epoch.
    """

    level: int
    expires: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What is kept.

    Attributes:
        bound: Subject to credential to the level that is asked for.
        version: Of the entry.
    """

    bound: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    states: Mapping[str, State] = field(default_factory=dict)
    version: int = 0


class Credentials:
    """The credentials of everybody, kept in memory because every request asks."""

    def __init__(
        self,
        register: RegisterStore,
        clock: Callable[[], datetime],
        tell: Callable[[], Awaitable[None]],
    ) -> None:
        """Keep them in ``register``; ``tell`` makes other processes call ``reload``."""
        self._register = register
        self._clock = clock
        self._tell = tell
        self._known = _Known()

    async def reload(self) -> None:
        """Take note of what another process has changed."""
        self._known = await self._load()

    def all_hold(self, subjects: Iterable[str]) -> bool:
        """Tell whether each credential that one of these is bound to holds now."""
        bound = self._known.bound
        if not bound:
            return True
        return all(
            self._holds(id_, level)
            for subject in subjects
            for id_, level in bound.get(subject, {}).items()
        )

    @property
    def bound(self) -> Mapping[str, Mapping[str, int]]:
        """Return who is bound: subject to credential to the level that is asked for."""
        return self._known.bound

    @property
    def states(self) -> Mapping[str, State]:
        """Return what was told about credentials."""
        return self._known.states

    async def bind(self, subject: str, credential: str, level: int) -> None:
        """Ask for a credential (64 hexadecimal digits) at a level from now on.

        Raises:
            ConfigurationError: It is no subject, credential or level.
        """
        kind, _, name = subject.partition("/" if subject.startswith("Organization/") else ":")
        if kind not in ("user", "client", "Organization") or not name:
            raise ConfigurationError("bind user:NAME, client:ID or Organization/ID")
        if len(credential) != 64 or set(credential) - set("0123456789abcdef"):
            raise ConfigurationError("a credential is 64 hexadecimal digits")
        if not 1 <= level <= 255:
            raise ConfigurationError("a level is a number from 1 to 255")

        def bind(known: _Known) -> _Known:
            held = {**known.bound.get(subject, {}), credential: level}
            return _Known({**known.bound, subject: held}, known.states, known.version)

        await self._change(bind)

    async def unbind(self, subject: str, credential: str) -> None:
        """Do not ask for a credential any more.

        Raises:
            ConfigurationError: The subject is not bound to it.
        """
        if credential not in self._known.bound.get(subject, {}):
            raise ConfigurationError("that is not bound: see 'consentry credential list'")

        def unbind(known: _Known) -> _Known:
            held = {k: v for k, v in known.bound.get(subject, {}).items() if k != credential}
            others = {k: v for k, v in known.bound.items() if k != subject}
            bound = {**others, subject: held} if held else others
            asked = {id_ for each in bound.values() for id_ in each}
            states = {id_: state for id_, state in known.states.items() if id_ in asked}
            return _Known(bound, states, known.version)

        await self._change(unbind)

    async def learn(self, states: Mapping[str, State]) -> None:
        """Take note of how credentials stand now; it holds for the next request at every process."""
        if all(self._known.states.get(id_) == state for id_, state in states.items()):
            return
        await self._change(
            lambda known: _Known(known.bound, {**known.states, **states}, known.version)
        )

    def _holds(self, credential: str, level: int) -> bool:
        state = self._known.states.get(credential)
        return (
            state is not None and state.level >= level and self._clock().timestamp() < state.expires
        )

    async def _change(self, change: Callable[[_Known], _Known]) -> None:
        while True:
            changed = change(await self._load())
            value = {
                "bound": changed.bound,
                "states": {k: [v.level, v.expires] for k, v in changed.states.items()},
            }
            try:
                entry = Entry(_ONLY, "", changed.version, stored_form(value))
                await self._register.save(_KIND, entry)
                break
            except ChangedError:
                continue
        await self.reload()
        await self._tell()

    async def _load(self) -> _Known:
        entry = await self._register.find(_KIND, _ONLY)
        if entry is None:
            return _Known()
        held = json.loads(json_of(entry.value))
        states = {str(id_): State(int(at[0]), int(at[1])) for id_, at in held["states"].items()}
        return _Known(held["bound"], states, entry.version)
