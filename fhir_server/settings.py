"""Settings: read from a TOML file (``CONSENTRY_SETTINGS``) and from ``CONSENTRY_*`` variables, which win.

Each setting stands in ``docs/settings.md`` (a test compares).  Unsafe values refuse to start, in one sentence.
"""

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_server.errors import SettingsError

PREFIX = "CONSENTRY_"
FILE = "CONSENTRY_SETTINGS"
_ENVIRONMENTS = ("development", "production")
_POLICIES = ("hipaa-tpo", "opt-in", "opt-out", "part2", "research")  # consent_engine has them
_MOST_WORKERS = 4
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Settings:
    """How one server runs.

    Attributes:
        env: ``development`` or ``production``; production refuses every default that is only safe on one's own machine.
        data: Folder of the database, the chain and (unless set) the key file; made with mode 0700.
        store: Url of a MongoDB, ``mongodb://`` or ``mongodb+srv://``, with a database's name; empty: SQLite in ``data``.
        host: Address to listen on.
        port: Port to listen on.
        workers: Processes that answer requests; 0 for one a core, at most 4.
        base_url: Public URL of the server without a path; empty means ``http://localhost:PORT``.
        tls_certificate: File with the certificate (chain) for TLS, PEM; empty: plain HTTP.
        tls_key: File with its private key, PEM.
        tenant: Name inside every keyed hash; two tenants can not read each other's database.
        custodian: Reference of the organization that holds the records.
        policy: What holds without a patient's Consent: names of templates and files, with commas between.
        break_glass: References of those who may break the glass (organizations, groups).
        zone: Time zone of dates without one, in Consents.
        key: The key-encryption key as base64 (97 bytes); empty means the key file.
        key_file: The key file; empty means ``DATA/consentry.key``.
        key_provider: Who holds the key-encryption key, if not ``key`` or the key file (``crypto/choosing.py``).
        key_former: Providers of former keys, still needed until ``consentry keys rotate`` is through.
        key_secret: PIN of the HSM, or token of the vault.
        key_secret_file: File with it.
        erasures: The list of erasures, which must not lie with the database or its backups; empty: beside the key file.
        clients_file: JSON list of registered clients; empty for none.
        users_file: JSON list of users; empty for none.
        brand_name: Under what name apps show this server to people.
        brands_file: FHIR Bundle of user-access brands; empty for one made from ``brand_name``.
        second_factor: Whether people must show two factors: ``optional`` or ``required``; empty: required in production.
        label_rules: Rules by which records get security labels: ``builtin``, files; ``none`` alone for no rule.
        show_redaction: Whether a record says that something was taken out of it (``REDACTED``, ``SUBSETTED``).
        sign_in_issuer: Outside OpenID provider at which people may sign in; empty for none.
        sign_in_client_id: What this server is called there.
        sign_in_secret: Its client secret; empty for a public client.
        sign_in_secret_file: File with it.
        sign_in_name: What people call that provider.
        patient_only: Search parameters whose tokens are unrelated from patient to patient.
        max_body_bytes: Largest body of one resource.
        max_bundle_bytes: Largest body of a batch or transaction.
        max_binary_bytes: Largest document that is sent as the content of a Binary.
        validation: ``strict`` refuses what breaks R4's bindings, invariants and targets; ``lenient`` stores and reports it.
        page_size: Entries of a search page when ``_count`` is not given.
        max_page_size: Most entries of a page.
        max_candidates: Most records that one search may open before it is refused as too costly.
        conditional_delete: Most records that one conditional delete may delete; 1 allows single ones only.
        cursor_lifetime: How long a link to the next page can be followed.
        anchor_events: AuditEvents after which the log is anchored.
        anchor_interval: Time after which the log is anchored if anything is new.
        anchor_late: How long an event may wait for its anchor before ``/health`` says so.
        chain_url: JSON-RPC URLs of the chain's nodes, with commas between; empty means the embedded chain.
        chain_id: Chain id that must be found there.
        chain_genesis: Hash of block 0 that must be found there.
        chain_contract: Address of the AuditAnchor contract there; needed with ``chain_url``.
        chain_code: Keccak-256 of that contract's code.
        chain_confirmations: Blocks, an anchor's own included, until it counts as final; or ``finalized``.
        chain_fee_cap: Most paid per gas, gwei.
        chain_priority_cap: Most paid per gas to the block's maker, gwei.
        chain_timeout: Most that one answer of a node takes.
        chain_assurance: ``public`` for a chain that others run and watch; ``self-operated`` for one of one's own.
        witnesses: JSON file of the witnesses that cosign this server's log; empty for none.
        witness_logs: JSON file of the logs that this server cosigns as their witness; empty for none.
        chain_consents: Address of the ConsentRegistry there; empty: Consents are on no chain.
        chain_grants: Address of the AccessGrants there; empty: access is asked for here only.
        chain_charter: Address of the ExchangeCharter there, which must have the policies in force.
        chain_credentials: Address of the CredentialRegistry there; empty: nobody is bound to credentials.
        metrics_token: Bearer token of ``/metrics``; empty answers this machine only.
        log_level: debug, info, warning or error.
    """

    env: str = "development"
    data: Path = Path("consentry-data")
    store: str = field(default="", repr=False)  # may carry a password
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 0
    base_url: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    tenant: str = "default"
    custodian: str = "Organization/custodian"
    policy: str = ""
    break_glass: tuple[str, ...] = ()
    zone: str = "UTC"
    key: str = field(default="", repr=False)
    key_file: str = ""
    key_provider: str = ""
    key_former: tuple[str, ...] = ()
    key_secret: str = field(default="", repr=False)
    key_secret_file: str = ""
    erasures: str = ""
    clients_file: str = ""
    users_file: str = ""
    brand_name: str = "Consentry"
    brands_file: str = ""
    second_factor: str = ""
    label_rules: tuple[str, ...] = ("builtin",)
    show_redaction: bool = True
    sign_in_issuer: str = ""
    sign_in_client_id: str = ""
    sign_in_secret: str = field(default="", repr=False)
    sign_in_secret_file: str = ""
    sign_in_name: str = "your organization"
    patient_only: tuple[str, ...] = ()
    max_body_bytes: int = 16 * 1024 * 1024
    max_bundle_bytes: int = 128 * 1024 * 1024
    max_binary_bytes: int = 2 * 1024 * 1024 * 1024
    validation: str = "strict"
    page_size: int = 50
    max_page_size: int = 1000
    max_candidates: int = 20_000
    conditional_delete: int = 1
    cursor_lifetime: timedelta = timedelta(hours=1)
    reindex_pause: timedelta = timedelta(milliseconds=5)
    anchor_events: int = 8192
    anchor_interval: timedelta = timedelta(seconds=60)
    anchor_late: timedelta = timedelta(minutes=15)
    chain_url: str = field(default="", repr=False)  # may carry a provider's key
    chain_id: int = 0
    chain_genesis: str = ""
    chain_contract: str = ""
    chain_code: str = ""
    chain_confirmations: str = "12"
    chain_fee_cap: int = 200
    chain_priority_cap: int = 10
    chain_timeout: timedelta = timedelta(seconds=10)
    chain_assurance: str = "public"
    witnesses: str = ""
    witness_logs: str = ""
    chain_consents: str = ""
    chain_credentials: str = ""
    chain_charter: str = ""
    chain_grants: str = ""
    metrics_token: str = field(default="", repr=False)
    log_level: str = "info"

    def __post_init__(self) -> None:
        """Refuse what is malformed or unsafe.  Raises ``SettingsError`` naming the setting."""
        _one_of("env", self.env, _ENVIRONMENTS)
        for name in self.policy.split(",") if self.policy else ():
            if not name.endswith(".json"):
                _one_of("policy", name, _POLICIES)
        _one_of("second_factor", self.second_factor, ("", "optional", "required"))
        _one_of("validation", self.validation, ("strict", "lenient"))
        _one_of("log_level", self.log_level, ("debug", "info", "warning", "error"))
        self._check_numbers()
        if not self.brand_name.strip() or len(self.brand_name) > 200:
            raise SettingsError("brand_name must be a name of at most 200 characters")
        if not self.tenant:
            raise SettingsError("tenant must not be empty")
        if not self.custodian.startswith("Organization/"):
            raise SettingsError("custodian must be a reference such as Organization/our-clinic")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise SettingsError("zone must be an IANA time zone such as Europe/Berlin") from error
        self._check_store()
        self._check_chain()
        self._check_url()
        if self.env == "production":
            self._check_production()

    def _check_numbers(self) -> None:
        for name in (
            "max_body_bytes",
            "max_bundle_bytes",
            "max_binary_bytes",
            "page_size",
            "max_page_size",
            "max_candidates",
            "conditional_delete",
        ):
            _positive(name, getattr(self, name))
        _positive("anchor_events", self.anchor_events)
        _positive("cursor_lifetime", int(self.cursor_lifetime.total_seconds()))
        for name in ("chain_fee_cap", "chain_priority_cap"):
            _positive(name, getattr(self, name))
        for name in ("reindex_pause", "anchor_interval", "anchor_late", "chain_id"):
            if getattr(self, name) < type(getattr(self, name))():
                raise SettingsError(f"{name} must not be negative")
        if not 0 <= self.workers <= 64:
            raise SettingsError("workers must be between 0 (one a core) and 64")
        if not 0 <= self.port <= 65_535:
            raise SettingsError("port must be between 0 and 65535")
        if self.page_size > self.max_page_size:
            raise SettingsError("page_size must not be larger than max_page_size")

    def _check_store(self) -> None:
        parts = urlsplit(self.store)
        if self.store and parts.scheme not in ("mongodb", "mongodb+srv"):
            raise SettingsError(
                "store must be empty or a url of a MongoDB: mongodb://... or mongodb+srv://..."
            )
        options = parse_qs(parts.query.lower())
        safe = parts.scheme != "mongodb" or "true" in (
            *options.get("tls", ()),
            *options.get("ssl", ()),
        )
        if self.env == "production" and not safe:
            raise SettingsError(
                "store must be asked over TLS in production: add tls=true to its url"
            )

    def _check_chain(self) -> None:
        for url in self.chain_urls:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise SettingsError("chain_url must be http(s) URLs of nodes, with commas between")
        if self.chain_url and not re.fullmatch(r"(0x)?[0-9a-fA-F]{40}", self.chain_contract):
            raise SettingsError(
                "chain_contract must be the address of the AuditAnchor on chain_url (40 hex digits)"
            )
        for name in ("chain_genesis", "chain_code"):
            if not re.fullmatch(r"|(0x)?[0-9a-fA-F]{64}", getattr(self, name)):
                raise SettingsError(f"{name} must be a hash: 64 hex digits")
        if not re.fullmatch(r"finalized|[1-9][0-9]{0,3}", self.chain_confirmations):
            raise SettingsError("chain_confirmations must be finalized, or blocks from 1 to 9999")
        if self.chain_assurance not in ("public", "self-operated"):
            raise SettingsError("chain_assurance must be public or self-operated")
        if not 0.1 <= self.chain_timeout.total_seconds() <= 300:
            raise SettingsError("chain_timeout must be between 0.1 and 300 seconds")

        self._check_registries()

    def _check_registries(self) -> None:
        for name in ("chain_consents", "chain_credentials", "chain_charter", "chain_grants"):
            at = getattr(self, name)
            if at and not (self.chain_url and self.chain_id):
                raise SettingsError(f"{name} needs chain_url and chain_id")
            if at and not re.fullmatch(r"(0x)?[0-9a-fA-F]{40}", at):
                raise SettingsError(f"{name} must be the address of a contract (40 hex digits)")

    def _check_url(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise SettingsError("tls_certificate and tls_key must be set together")
        parts = urlsplit(self.public_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
            raise SettingsError(
                "base_url must be an http(s) URL without a path, such as https://fhir.example.org"
            )
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise SettingsError("base_url must be https unless it is on this machine (localhost)")

    def _check_production(self) -> None:
        if not self.policy:
            raise SettingsError(f"policy must be named in production: {', '.join(_POLICIES)}")
        if not self.base_url:
            raise SettingsError("base_url must be set in production")
        if not self.key and not self.key_file and not self.key_provider:
            raise SettingsError(
                "key, key_file or key_provider must be set in production, away from the data folder"
            )
        if not self.erasures and not self.key_file and not self.key_provider.startswith("file:"):
            raise SettingsError(
                "erasures must be set in production where the key is not in a file: a path away from the data folder"
            )
        if not self.chain_url:
            raise SettingsError(
                "chain_url must be set in production: the embedded chain proves nothing to outsiders"
            )

    @property
    def chain_urls(self) -> tuple[str, ...]:
        """The nodes of the chain, the preferred one first."""
        return tuple(url.strip() for url in self.chain_url.split(",") if url.strip())

    @property
    def public_url(self) -> str:
        """URL of the server without a path."""
        scheme = "https" if self.tls_certificate else "http"
        return self.base_url or f"{scheme}://localhost:{self.port}"

    @property
    def second_factor_rule(self) -> str:
        """Whether people must show two factors: ``optional`` or ``required``."""
        return self.second_factor or ("required" if self.env == "production" else "optional")

    @property
    def worker_count(self) -> int:
        """Processes that answer requests."""
        if sys.platform == "win32":
            return 1
        return self.workers or min(os.cpu_count() or 1, _MOST_WORKERS)

    @property
    def fhir_base(self) -> str:
        """FHIR base url, without trailing slash."""
        return f"{self.public_url}/fhir"

    @property
    def policy_name(self) -> str:
        """The policy template in force; a development server starts with ``hipaa-tpo``."""
        return self.policy or "hipaa-tpo"


def read_settings(environment: Mapping[str, str] = os.environ, **given: object) -> Settings:
    """Read the settings; ``given`` (from the command line) wins over variables, variables over the file.

    Raises:
        SettingsError: A value is malformed, unsafe or unknown.
    """
    values: dict[str, object] = dict(_file(environment.get(FILE, "")))
    known = {f.name for f in fields(Settings)}
    for name, text in environment.items():
        if name.startswith(PREFIX) and name != FILE:
            values[name.removeprefix(PREFIX).lower()] = text
    values.update({name: value for name, value in given.items() if value is not None})
    unknown = sorted(set(values) - known)
    if unknown:
        raise SettingsError(
            f"unknown setting: {', '.join(unknown)} (docs/settings.md has all of them)"
        )
    return Settings(**{name: _typed(name, value) for name, value in values.items()})  # type: ignore[arg-type]


def _file(name: str) -> Mapping[str, object]:
    if not name:
        return {}
    try:
        return tomllib.loads(Path(name).read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"the settings file cannot be read: {error}") from error


def _typed(name: str, value: object) -> object:
    default = next((f.default for f in fields(Settings) if f.name == name), None)
    try:
        match default:
            case timedelta():
                return (
                    value if isinstance(value, timedelta) else timedelta(seconds=float(str(value)))
                )
            case bool():
                return _switch(name, value)
            case int():
                return int(str(value))
            case Path():
                return Path(str(value))
            case tuple():
                parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
                return tuple(str(p).strip() for p in parts if str(p).strip())
            case _:
                return str(value)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{name} must be a number") from error


def _switch(name: str, value: object) -> bool:
    _one_of(name, str(value).lower(), ("true", "false"))
    return str(value).lower() == "true"


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingsError(f"{name} must be one of {', '.join(c for c in choices if c)}")


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise SettingsError(f"{name} must be at least 1")
