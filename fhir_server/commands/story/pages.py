"""A person's way through the pages of the authorization server: their forms are read and posted, as a browser would."""

import re
import time
from html.parser import HTMLParser

import httpx2

from fhir_server.commands.story.cast import CALLBACK, CodeApp, Person
from fhir_server.commands.story.errors import StepError

_TIMEOUT = 60.0


def sign_in_and_allow(url: str, person: Person) -> str:
    """The person's way through the pages from an app's authorization request; the url that leads back to the app.

    Whoever has a code app sets it up when she is asked to, and types its codes afterwards.

    Raises:
        StepError: The pages lead elsewhere.
    """
    with httpx2.Client(timeout=_TIMEOUT) as browser:
        page = browser.get(url)
        page = _submit(browser, page, "sign-in", username=person.username, password=person.password)
        if person.code_app is not None:
            page = _second_factor(browser, page, person.code_app)
        page = _submit(browser, page, "decide", decision="allow")
    back = str(page.headers.get("location", ""))
    if not back.startswith(f"{CALLBACK}?"):
        raise StepError(f"the authorize page did not return to the app: {page.status_code}")
    return back


def _second_factor(
    browser: httpx2.Client, page: httpx2.Response, code_app: CodeApp
) -> httpx2.Response:
    if _form(page, "code") is not None:
        return _submit(browser, page, "code", code=code_app.code(time.time()))
    page = _submit(browser, page, "code-app")
    shown = re.search("<code>([A-Z2-7 ]+)</code>", page.text)
    if shown is None:
        raise StepError("the page does not show the secret of a new code app")
    code_app.secret = shown[1].replace(" ", "")
    page = _submit(browser, page, "confirm-code-app", code=code_app.code(time.time()))
    return _submit(browser, page, "finish")


def _submit(
    browser: httpx2.Client, page: httpx2.Response, step: str, **given: str
) -> httpx2.Response:
    """Fill in the page's form for a step, send it, and go where the answer leads, unless that is an app."""
    found = _form(page, step)
    if found is None:
        raise StepError(f"there is no '{step}' form on the page: {page.status_code}")
    action, form = found
    fields = form | {name: [value] for name, value in given.items()}
    answer = browser.post(action, data=fields)
    leads = str(answer.headers.get("location", ""))
    return browser.get(leads) if leads and not leads.startswith(CALLBACK) else answer


def _form(page: httpx2.Response, step: str) -> tuple[str, dict[str, list[str]]] | None:
    """Where the page's form for a step goes, and what it holds."""
    reader = _Forms()
    reader.feed(page.text)
    return next((each for each in reader.forms if each[1].get("step") == [step]), None)


class _Forms(HTMLParser):
    """Collects the forms of a page: where they go, hidden fields, and boxes that are ticked."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, list[str]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.forms.append((str(given["action"]), {}))
        if tag != "input" or not self.forms:
            return
        if given.get("type") == "hidden" or (
            given.get("type") == "checkbox" and "checked" in given
        ):
            fields = self.forms[-1][1]
            fields.setdefault(str(given["name"]), []).append(str(given["value"]))
