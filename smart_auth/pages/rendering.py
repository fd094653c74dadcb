"""The pages a person sees: plain HTML; the only importer of jinja2.

Every page carries a Content-Security-Policy that permits its own style and forms, nothing else;
pages that ask for a passkey run one script of our own.
``form-action`` must name the client's redirect origin too, because browsers apply it to the
redirect that answers the form (CSP 3, 6.4.1).  ``render`` makes a page of any template.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from smart_auth.authorization.wording import Choice
from smart_auth.exchange import HttpResponse, Pairs
from smart_auth.people.passkeys import Ceremony

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
_SCRIPT = (_TEMPLATES / "passkeys.js").read_bytes()
_SCRIPTS = "script-src 'self'; "
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
)


@dataclass(frozen=True, slots=True)
class PageForm:
    """What every form of a page sends back.

    Attributes:
        action: URL that the form is sent to.
        handle: Of what waits in the store, or empty; form field ``request``.
        csrf: Bound to the session cookie and the handle; form field ``csrf``.
        redirect_uri: Where the answer may go besides: its origin is let through ``form-action``.
        leads_to: More URLs of which the same is true.
    """

    action: str
    handle: str = field(repr=False)
    csrf: str = field(repr=False)
    redirect_uri: str | None = None
    leads_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorizeView:
    """What the authorize page says, all of it plain text."""

    client_name: str
    user_name: str
    patient_label: str | None
    choices: tuple[Choice, ...]
    facts: tuple[str, ...]
    duration: str


def sign_in_page(
    form: PageForm,
    why: str,
    problem: str | None,
    status: int,
    more: Pairs,
    ceremony: Ceremony | None = None,
    elsewhere: tuple[str, str] | None = None,
) -> HttpResponse:
    """Return the sign-in page: steps ``sign-in`` (``username``, ``password``) and ``passkey``.

    ``elsewhere`` is the name of an outside provider and where the way there begins.
    """
    values = {"title": "Sign in", "why": why, "problem": problem, "elsewhere": elsewhere}
    return render("sign_in.html", form, values, status, more, ceremony=ceremony)


def patient_page(
    form: PageForm,
    client_name: str,
    user_name: str,
    search: str,
    offered: tuple[tuple[str, str], ...],
    more: Pairs,
) -> HttpResponse:
    """Return the patient picker: fields ``search`` or ``patient``, ``step`` = ``patient``."""
    values = {
        "title": "Choose a patient",
        "client_name": client_name,
        "user_name": user_name,
        "search": search,
        "offered": offered,
    }
    return render("patient.html", form, values, 200, more)


def authorize_page(form: PageForm, view: AuthorizeView, more: Pairs) -> HttpResponse:
    """Return the authorize page: ``decision`` = allow or deny, ``scope`` repeated."""
    values = {
        "title": f"Allow {view.client_name}?",
        "host": urlsplit(form.redirect_uri or "").hostname,
        "client_name": view.client_name,
        "user_name": view.user_name,
        "patient_label": view.patient_label,
        "choices": view.choices,
        "facts": view.facts,
        "duration": view.duration,
    }
    return render("authorize.html", form, values, 200, more)


def problem_page(problem: str, status: int, retry_after: int | None = None) -> HttpResponse:
    """Return a page that says what is wrong and goes nowhere."""
    wait: Pairs = () if retry_after is None else (("Retry-After", str(retry_after)),)
    values = {"title": "This cannot go on", "problem": problem}
    return render("problem.html", None, values, status, wait)


def redirect(location: str, more: Pairs = ()) -> HttpResponse:
    """Return a 303 (RFC 9700, 4.12: never 307) that no cache keeps and no referrer follows."""
    headers = (("Location", location), ("Cache-Control", "no-store"), ("Pragma", "no-cache"))
    return HttpResponse(303, (*headers, ("Referrer-Policy", "no-referrer"), *more))


def render(
    template: str,
    form: PageForm | None,
    values: Mapping[str, object],
    status: int = 200,
    more: Pairs = (),
    *,
    ceremony: Ceremony | None = None,
) -> HttpResponse:
    """Return the page of a template, with the headers that every page of ours carries.

    Args:
        form: What its forms send back; None for a page without a form.
        values: What the template says; ``title`` always, ``problem`` where something was refused.
        more: Headers besides.
        ceremony: What it asks the browser for a passkey with, by our script.
    """
    text = _ENVIRONMENT.get_template(template).render(
        **values, form=form, ceremony=ceremony, style=_STYLE
    )
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Pragma", "no-cache"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
    )
    refusal = str(values.get("problem") or "")
    all_headers = (*headers, *_policy(form, ceremony), *more)
    return HttpResponse(status, all_headers, text.encode(), refusal)


def passkey_script() -> HttpResponse:
    """Return the script of the pages that ask the browser for a passkey."""
    headers = (
        ("Content-Type", "text/javascript; charset=utf-8"),
        ("Cache-Control", "no-cache"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return HttpResponse(200, headers, _SCRIPT)


def _policy(form: PageForm | None, ceremony: Ceremony | None) -> Pairs:
    targets = "'none'" if form is None else "'self'"
    if form is not None and form.redirect_uri is not None:
        targets += f" {_origin(form.redirect_uri)}"
    if form is not None and form.leads_to:
        targets += " " + " ".join(sorted({_origin(uri) for uri in form.leads_to}))
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {targets}; "
        f"{'' if ceremony is None else _SCRIPTS}"
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return (("Content-Security-Policy", policy),)


def _origin(redirect_uri: str) -> str:
    """Return the CSP source of a redirect URI; registration keeps spaces and ``;`` out of it."""
    parts = urlsplit(redirect_uri)
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc}"
    return f"{parts.scheme}:"


def moment(seconds: float) -> str:
    """Return a time as pages tell it, UTC."""
    told = datetime.fromtimestamp(seconds, UTC)
    return f"{told.day} {told:%B %Y, %H:%M} UTC"
