"""Our own EHR launch (SMART App Launch 2.2, "App Launch: Launch from EHR"): a person who is signed in
picks a patient that she may see, perhaps a visit, and opens a registered app on them.

Every step looks at patient and visit again, as the person: what a form brings is believed of
nobody.  A patient opens apps on her own record only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from smart_auth.authorization.launch import LaunchError, PatientDirectory, read_launch
from smart_auth.clients.registry import Client, ClientRegistry
from smart_auth.errors import PageError
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.pages.rendering import PageForm, problem_page, redirect, render
from smart_auth.people.presence import Presence, Present, Wanted
from smart_auth.people.users import User
from smart_auth.store import Launch

_WANTED = Wanted("Sign in to open an app on a patient.")
_MOST = 50


@dataclass(frozen=True, slots=True)
class _Looked:
    """One look of a person at the page."""

    present: Present
    form: PageForm = field(repr=False)
    given: dict[str, str] = field(repr=False)

    @property
    def person(self) -> User:
        return self.present.person


@dataclass(frozen=True, slots=True)
class OpenAppPage:
    """``[issuer]/open-app``.

    Attributes:
        issue: Makes the launch handle, once the launch is found acceptable (``SmartServer.create_launch``).
    """

    presence: Presence
    clients: ClientRegistry
    directory: PatientDirectory
    issue: Callable[[Launch], Awaitable[str]] = field(repr=False)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer GET, or a form of the page: ``step`` = ``search``, ``patient``, ``open`` or ``sign-out``."""
        try:
            return await self._answer(request)
        except (PageError, LaunchError) as error:
            return problem_page(str(error), error.status)

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        visitor, here = self.presence.visitor(request), self.presence.settings.open_app_page
        given = self.presence.posted(request, here) if request.method == "POST" else {}
        if given.get("step") == "sign-out":
            await self.presence.end(visitor)
        present = await self.presence.find(visitor, _WANTED)
        if present is None:
            return await self.presence.ask(visitor, _WANTED, here)
        looked = _Looked(present, self.presence.form(visitor, here), given)
        page = await self._step(looked)
        return replace(page, headers=(*page.headers, *visitor.more))

    async def _step(self, looked: _Looked) -> HttpResponse:
        step = looked.given.get("step", "search")
        if step == "open":
            return await self._open(looked)
        own = looked.person.patient
        if step == "patient" or own is not None:
            return await self._choose_app(looked, own or looked.given.get("patient", ""))
        if step != "search":
            raise PageError("The form is not one of ours.")
        return await self._choose_patient(looked)

    async def _choose_patient(self, looked: _Looked) -> HttpResponse:
        text = looked.given.get("search", "")
        found = (await self.directory.search(looked.person, text))[:_MOST]
        values = {
            "title": "Your patients",
            "user_name": looked.person.name,
            "search": text,
            "found": found,
            "most": _MOST,
        }
        return render("open_app_patient.html", looked.form, values)

    async def _choose_app(self, looked: _Looked, patient: str) -> HttpResponse:
        label = await self.directory.patient(looked.person, patient)
        if label is None:
            raise PageError("There is no such patient, or you may not see it.", status=404)
        apps = self._apps()
        values = {
            "title": "Open an app",
            "user_name": looked.person.name,
            "patient": patient,
            "patient_label": label,
            "encounters": await self.directory.encounters(looked.person, patient),
            "apps": apps,
            "others": looked.person.patient is None,
        }
        uris = tuple(app.launch_uri for app in apps if app.launch_uri)
        return render("open_app.html", replace(looked.form, leads_to=uris), values)

    async def _open(self, looked: _Looked) -> HttpResponse:
        given = looked.given
        app = next((a for a in self._apps() if a.client_id == given.get("client_id")), None)
        if app is None or app.launch_uri is None:
            raise PageError("That app cannot be opened from here.")
        launch = read_launch(
            {
                "client_id": app.client_id,
                "username": looked.person.username,
                "patient": looked.person.patient or given.get("patient") or None,
                "encounter": given.get("encounter") or None,
                "intent": given.get("intent") or None,
                "fhirContext": [{"reference": word} for word in given.get("also", "").split()],
            }
        )
        if launch.patient is None:
            raise PageError("Choose a patient first.")
        query = {"iss": self.presence.settings.fhir_base, "launch": await self.issue(launch)}
        joint = "&" if "?" in app.launch_uri else "?"
        return redirect(f"{app.launch_uri}{joint}{urlencode(query)}")

    def _apps(self) -> list[Client]:
        """The registered apps that say where they are launched."""
        known = (self.clients.find(each.client_id) for each in self.clients.all())
        fit = (each for each in known if each is not None and each.launch_uri)
        apps = [each for each in fit if "authorization_code" in each.grant_types]
        return sorted(apps, key=lambda each: each.name)
