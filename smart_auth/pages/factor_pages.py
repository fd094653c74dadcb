"""The pages about factors: asking for the second one, setting one up, and the account.

Those that ask the browser for a passkey run one script, our own file (``templates/passkeys.js``),
and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from smart_auth.exchange import HttpResponse, Pairs
from smart_auth.pages.rendering import PageForm, render
from smart_auth.people.factors import Held
from smart_auth.people.passkeys import Ceremony


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page is shown with.

    Attributes:
        problem: What went wrong with the form before, or None.
        more: Headers besides.
    """

    form: PageForm
    problem: str | None = None
    status: int = 200
    more: Pairs = field(default=(), repr=False)


def second_factor_page(
    shown: Shown, name: str, held: Held, ceremony: Ceremony | None
) -> HttpResponse:
    """Return the page that asks for a second factor: steps ``passkey``, ``code``, ``restart``."""
    values = {"title": "One more step", "user_name": name, "held": held}
    return _page("second_factor.html", shown, values, ceremony)


def set_up_page(shown: Shown, name: str, ceremony: Ceremony | None) -> HttpResponse:
    """Return the page for a person who has no second factor yet and needs one: steps
    ``make-passkey``, ``code-app``, ``restart``."""
    values = {"title": "Set up a second step", "user_name": name}
    return _page("set_up.html", shown, values, ceremony)


def code_app_page(shown: Shown, secret: str, setup: str, drawn: str) -> HttpResponse:
    """Return the page that shows a new secret: steps ``confirm-code-app``, ``back``.

    Args:
        secret: Base32, shown in groups of four.
        setup: ``otpauth:`` URL.
        drawn: The same as an ``<svg>`` element.
    """
    grouped = " ".join(secret[place : place + 4] for place in range(0, len(secret), 4))
    values = {"title": "Set up a code app", "secret": grouped, "setup": setup, "drawn": drawn}
    return _page("code_app.html", shown, values, None)


def recovery_codes_page(shown: Shown, codes: tuple[str, ...]) -> HttpResponse:
    """Return the page that shows recovery codes, once: step ``finish``."""
    return _page(
        "recovery_codes.html", shown, {"title": "Your recovery codes", "codes": codes}, None
    )


def account_page(shown: Shown, name: str, held: Held, ceremony: Ceremony | None) -> HttpResponse:
    """Return the account page: steps ``make-passkey``, ``drop-passkey``, ``code-app``,
    ``drop-code-app``, ``recovery-codes``, ``sign-out``."""
    values = {"title": "Your account", "user_name": name, "held": held, "day": _day}
    return _page("account.html", shown, values, ceremony)


def _page(
    template: str, shown: Shown, values: Mapping[str, object], ceremony: Ceremony | None
) -> HttpResponse:
    filled = {**values, "problem": shown.problem}
    return render(template, shown.form, filled, shown.status, shown.more, ceremony=ceremony)


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %B %Y")
