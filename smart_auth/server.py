"""The authorization server as ``fhir_server`` sees it."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from smart_auth import discovery
from smart_auth.attempts import AttemptLog, NoAttemptLog
from smart_auth.authorization.authorize import Authorization
from smart_auth.authorization.ehr_launch import EhrLaunch
from smart_auth.authorization.launch import (
    NoPatients,
    PatientDirectory,
    require_acceptable,
    seen_by_its_user,
)
from smart_auth.authorization.open_app import OpenAppPage
from smart_auth.authorization.scopes import ScopeSet, parse_scopes
from smart_auth.authorization.support import AnyScope, ScopeSupport
from smart_auth.clients.initial_tokens import InitialTokens
from smart_auth.clients.keys import KeyFetcher, KeyShelf, NoFetcher
from smart_auth.clients.registered import RegisteredClients
from smart_auth.clients.registration import Registration
from smart_auth.clients.registry import ASYMMETRIC, Client, ClientRegistry
from smart_auth.credentials import Credentials
from smart_auth.errors import ConfigurationError, UnprovedTokenError
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.on_record import OnRecord
from smart_auth.pages.apps_page import AppsPage
from smart_auth.pages.rendering import passkey_script
from smart_auth.pages.seen_page import SeenPage
from smart_auth.people.account import Account
from smart_auth.people.accounts import Accounts
from smart_auth.people.entrance import Entrance
from smart_auth.people.factors import Factors
from smart_auth.people.outside import IdentityProvider, Outside
from smart_auth.people.presence import Presence
from smart_auth.people.record_access import NoRecordAccess, RecordAccess
from smart_auth.people.signing_in import SigningIn
from smart_auth.people.throttle import PASSWORDS, Throttle
from smart_auth.people.users import User, UserRegistry
from smart_auth.settings import SmartSettings
from smart_auth.store import GrantStore, Launch, RegisterStore
from smart_auth.tokens.authlib_bridge.server import TokenEndpoints
from smart_auth.tokens.bearer import BearerAuthenticator, Caller, subject_of
from smart_auth.tokens.granted import GrantRegister
from smart_auth.tokens.introspection import TokenFinder
from smart_auth.tokens.issuing import Issuer, RandomBytes
from smart_auth.tokens.jwt import SigningKeys
from smart_auth.tokens.proof_of_possession import Proofs, ProvedBefore, Sent
from smart_auth.tokens.revocation import Revocations
from smart_auth.tokens.signing_keys import KeyRing, KeyStore
from smart_auth.vault import Vault

SYSTEM_CLIENT = "consentry-system"
PAGES_CLIENT = "consentry-pages"
_PAGE_PURPOSES = (
    *("TREAT", "PATRQT", "FAMRQT", "PWATRNY", "SUPNWK", "CAREMGT"),
    *("HPAYMT", "HOPERAT", "PUBHLTH", "HRESCH", "PATADMIN"),
)  # v3-ActReason; nobody breaks the glass by looking at a list


async def _nobody_else() -> None:
    """There is no other server on the store."""


class SmartServer:
    """SMART App Launch 2.2 authorization server; see each method for its endpoint.

    Attributes:
        registered: The clients, to be listed, disabled and enabled.
        initial_tokens: Makes what clients register with.
        credentials: What people, clients and organizations must have attested.
        on_record: Puts every answer on record before it leaves.
    """

    def __init__(
        self,
        settings: SmartSettings,
        keys: SigningKeys,
        clients: ClientRegistry,
        users: UserRegistry,
        store: GrantStore,
        register: RegisterStore,
        clock: Callable[[], datetime],
        patients: PatientDirectory | None = None,
        record_access: RecordAccess | None = None,
        random_bytes: RandomBytes = secrets.token_bytes,
        tell: Callable[[], Awaitable[None]] = _nobody_else,
        fetcher: KeyFetcher | None = None,
        provider: IdentityProvider | None = None,
        key_store: KeyStore | None = None,
        attempts: AttemptLog | None = None,
        support: ScopeSupport | None = None,
    ) -> None:
        """Put the room together; ``clock`` gives the time in UTC, zone-aware.

        Args:
            tell: Called when something was revoked: makes other servers on the same store call ``recheck``.
            fetcher: Fetches the keys of clients that registered a ``jwks_uri``.
            provider: Where people may sign in instead.
            key_store: Where ``keys`` lie; without it they are never renewed.
            attempts: Where requests are put on record; None for commands, which answer none.
            support: Knows which scopes can work; None takes all.

        Raises:
            ConfigurationError: A client is registered under the system's own name.
        """
        self._settings = settings
        self._keys = keys
        self._system = _system_client(settings)
        self._pages = _pages_client()
        users = UserRegistry(users)  # our own: it learns who is disabled
        clients = clients.including(self._system).including(self._pages)
        self.credentials = Credentials(register, clock, tell)
        _require_credentials(self.credentials, users, clients)
        revocations = Revocations(store, settings.refresh_lifetime, clock, tell)
        vault = Vault(store, settings, revocations, random_bytes)
        self._issuer = Issuer(settings, keys, random_bytes)
        self._support = support or AnyScope()
        self._bearer = BearerAuthenticator(
            settings, keys, clients, users, revocations, self._support
        )
        self.signing = KeyRing(keys, register, tell, self._bearer.forget, key_store)
        finder = TokenFinder(settings, self._bearer, users, vault, clock)
        self._proofs = Proofs(store, register)
        shelf = KeyShelf(fetcher or NoFetcher(), clock)
        granted = GrantRegister(register, revocations, settings, clock)
        self.on_record = OnRecord(attempts or NoAttemptLog(), settings, users, vault)
        self._endpoints = TokenEndpoints(
            *(clients, users, vault, self._issuer, finder, shelf, granted, self._proofs),
            *(self._support, clock),
        )
        self._patients = patients or NoPatients()
        factors = Factors.over(settings, store, register, random_bytes, clock)
        presence = Presence(settings, users, vault, factors.passkeys, clock)
        entrance = Entrance.of(users, Throttle(store, PASSWORDS, random_bytes))
        self.accounts = Accounts(users, register, factors, revocations, clock)
        outside = Outside(provider, settings, users, vault, clock) if provider else None
        self._signing_in = SigningIn(presence, entrance, factors, outside, clock)
        self._account = Account(presence, factors, clock)
        self._apps_page = AppsPage(presence, granted, clients)
        self._seen_page = SeenPage(presence, record_access or NoRecordAccess())
        self._open_app = OpenAppPage(presence, clients, self._patients, self.create_launch)
        self._ehr_launch = EhrLaunch(
            settings.custodian, self.authenticate, self.create_launch, clock
        )
        self._authorization = Authorization(
            settings, clients, vault, presence, self._patients, self._support, clock
        )
        self._clients, self._users, self._vault, self._clock = clients, users, vault, clock
        self._register = register
        self.registered = RegisteredClients(clients, register, revocations)
        self.initial_tokens = InitialTokens(register, random_bytes)
        self._registration = Registration(
            settings, self.registered, self.initial_tokens, random_bytes, clock, self.credentials
        )

    async def recheck(self) -> None:
        """Look again at what is remembered of the store: another server has changed it.

        That is, which tokens are good, which clients there are, who is disabled, which keys sign, and what is searched by.
        """
        if await self._support.reload():
            self._bearer.forget()
        await self.signing.reload()
        self._bearer.recheck()
        await self.registered.reload()
        await self.accounts.reload()
        await self.credentials.reload()

    @property
    def fhir_base(self) -> str:
        """Base URL of the FHIR API."""
        return self._settings.fhir_base

    def smart_configuration(self) -> dict[str, object]:
        """Return ``[fhir_base]/.well-known/smart-configuration``."""
        return discovery.smart_configuration(self._settings)

    def openid_configuration(self) -> dict[str, object]:
        """Return ``[issuer]/.well-known/openid-configuration``."""
        return discovery.openid_configuration(self._settings)

    def smart_style(self) -> dict[str, object]:
        """Return ``[issuer]/smart-style.json``."""
        return discovery.smart_style()

    def jwks(self) -> dict[str, object]:
        """Return ``[issuer]/jwks``."""
        return self._keys.public_jwks()

    async def authorize(self, request: HttpRequest) -> HttpResponse:
        """Answer ``GET`` and ``POST [issuer]/authorize``, our own pages' forms included."""
        return await self.on_record.visited("authorize", request, self._authorization.answer)

    async def sign_in(self, request: HttpRequest) -> HttpResponse:
        """Answer ``POST [issuer]/sign-in``: a form of the sign-in pages."""
        return await self.on_record.visited("sign-in", request, self._signing_in.answer)

    async def outside(self, request: HttpRequest) -> HttpResponse:
        """Answer ``GET [issuer]/outside``: the way to an outside OpenID provider, and back."""
        return await self.on_record.visited("outside", request, self._signing_in.away)

    async def account(self, request: HttpRequest) -> HttpResponse:
        """Answer GET or POST ``[issuer]/account``."""
        return await self.on_record.visited("account", request, self._account.answer)

    async def seen(self, request: HttpRequest) -> HttpResponse:
        """Answer GET ``[issuer]/seen``: who has seen a person's record."""
        return await self.on_record.visited("seen", request, self._seen_page.answer)

    async def apps(self, request: HttpRequest) -> HttpResponse:
        """Answer GET or POST ``[issuer]/apps``: what a person granted to apps (management_endpoint)."""
        return await self.on_record.visited("apps", request, self._apps_page.answer)

    async def open_app(self, request: HttpRequest) -> HttpResponse:
        """Answer GET or POST ``[issuer]/open-app``: a person opens an app on a patient."""
        return await self.on_record.visited("open-app", request, self._open_app.answer)

    def passkey_script(self) -> HttpResponse:
        """Answer ``GET [issuer]/passkeys.js``."""
        return passkey_script()

    async def create_launch(self, launch: Launch) -> str:
        """Return a launch handle: for this client and user, once, within ``launch_lifetime``.

        ``read_launch`` reads a launch from JSON.

        Raises:
            LaunchError: Client, user or a reference is not acceptable, or the user can see no such
                patient or encounter.
            PageError: The records cannot be looked at just now.
        """
        require_acceptable(launch, self._clients, self._users)
        seen = await seen_by_its_user(launch, self._users, self._patients)
        return await self._vault.issue_launch(seen, self._clock())

    async def token(self, request: HttpRequest) -> HttpResponse:
        """Answer ``POST [issuer]/token``."""
        return await self.on_record.called("token", request, self._endpoints.token)

    async def introspect(self, request: HttpRequest) -> HttpResponse:
        """Answer ``POST [issuer]/introspect``."""
        return await self.on_record.called("introspect", request, self._endpoints.introspect)

    async def revoke(self, request: HttpRequest) -> HttpResponse:
        """Answer ``POST [issuer]/revoke``."""
        return await self.on_record.called("revoke", request, self._endpoints.revoke)

    async def push(self, request: HttpRequest) -> HttpResponse:
        """Answer ``POST [issuer]/par``."""
        return await self.on_record.called("par", request, self._endpoints.push)

    async def register(self, request: HttpRequest) -> HttpResponse:
        """Answer ``POST [issuer]/register``."""
        return await self.on_record.called("register", request, self._registration.register)

    async def manage_client(self, request: HttpRequest, client_id: str) -> HttpResponse:
        """Answer GET, PUT and DELETE of ``[issuer]/register/[client_id]``."""
        manage = partial(self._registration.manage, client_id=client_id)
        return await self.on_record.called("register", request, manage)

    async def launch(self, request: HttpRequest) -> HttpResponse:
        """Answer ``POST [issuer]/launch``."""
        return await self.on_record.called("launch", request, self._ehr_launch.answer)

    async def revoke_access(self, username: str, client_id: str) -> None:
        """End everything that a person granted to a client up to now, at the person's wish.

        It holds for the very next request; durable when it returns (ONC g10, "Token Revocation").
        """
        subject = subject_of(self._settings.issuer, username)
        await self._vault.revocations.revoke_pair(subject, client_id)

    async def revoke_backend(self, client_id: str) -> None:
        """End all tokens that a backend service holds now; it may still ask for new ones."""
        await self._vault.revocations.revoke_pair(client_id, client_id)

    async def authenticate(
        self, bearer: str, now: datetime, proof: Sent | ProvedBefore | None = None
    ) -> Caller:
        """Return who holds the access token.

        Args:
            proof: What came with a token of the scheme ``DPoP``; None with one of ``Bearer``.

        Raises:
            BearerError: Answer 401 with ``WWW-Authenticate: Bearer error="invalid_token"``.
            InvalidProofError: Answer 401 with ``WWW-Authenticate: DPoP error="invalid_dpop_proof"``.
            UseNonceError: The same, with its own code and its ``nonce`` as ``DPoP-Nonce``.
        """
        caller = await self._bearer.authenticate(bearer, now)
        if caller.key is not None or proof is not None:
            await self._require_proved(caller, bearer, now, proof)
        return caller

    async def _require_proved(
        self, caller: Caller, bearer: str, now: datetime, proof: Sent | ProvedBefore | None
    ) -> None:
        if proof is None:
            raise UnprovedTokenError("the token is bound to a key: send it as DPoP, with a proof")
        if caller.key is None:
            raise UnprovedTokenError("the token is not bound to a key: send it as Bearer")
        if isinstance(proof, Sent):
            thumbprint = await self._proofs.require(proof, now, token=bearer)
        else:
            thumbprint = proof.thumbprint
        if thumbprint != caller.key:
            raise UnprovedTokenError("the token is bound to another key")

    def page_token(self, user: User, scope: str, now: datetime) -> tuple[str, str]:
        """Return an access token for what one of our own pages shows to a person, and its purpose.

        It never leaves the server.  The purpose is the first of the person's that a page may use;
        empty, when there is none, and then the token opens nothing.
        """
        token = self._issuer.page_token(self._pages, user, parse_scopes(scope), now)
        purposes = (each for each in user.purposes if each in _PAGE_PURPOSES)
        return token, next(purposes, "")

    def system_token(self, scope: str, now: datetime, jkt: str | None = None) -> str:
        """Return an access token for the custodian's own system, signed here.

        ``jkt`` is the thumbprint of the key that it is to be bound to.

        Raises:
            ScopeParseError: ``scope`` does not follow the grammar.
            UnsupportedScopeError: One of its scopes can not work here.
            ConfigurationError: It holds no scope of level ``system``.
        """
        scopes = ScopeSet(parse_scopes(scope).at_levels("system").resources)
        for each in scopes.resources:
            self._support.require(each)
        if not scopes:
            raise ConfigurationError("a system token needs scopes of level system")
        return str(self._issuer.backend_answer(self._system, scopes, now, jkt)["access_token"])


def _require_credentials(
    credentials: Credentials, users: UserRegistry, clients: ClientRegistry
) -> None:
    """Let only those be found whose credentials, and whose organizations', hold."""

    def person_stands(user: User) -> bool:
        return credentials.all_hold((f"user:{user.username}", *user.organizations))

    def client_stands(client: Client) -> bool:
        own = (client.organization,) if client.organization else ()
        return client.system or credentials.all_hold((f"client:{client.client_id}", *own))

    users.require_standing(person_stands)
    clients.require_standing(client_stands)


def _system_client(settings: SmartSettings) -> Client:
    """Return the custodian's own client: it has no keys, so it cannot ask the token endpoint."""
    return Client(
        client_id=SYSTEM_CLIENT,
        name="Consentry",
        kind=ASYMMETRIC,
        grant_types=(),
        organization=settings.custodian or None,
        purposes=settings.system_purposes,
        system=True,
    )


def _pages_client() -> Client:
    """Return the client that our own pages are: it has no keys, so it cannot ask the token endpoint."""
    return Client(
        client_id=PAGES_CLIENT,
        name="Consentry's own pages",
        kind=ASYMMETRIC,
        grant_types=(),
        purposes=_PAGE_PURPOSES,
    )
