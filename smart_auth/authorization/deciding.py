"""What a person decides on the authorize page: what is asked of her, and the grant that she makes
(SMART App Launch 2.2, "Obtain authorization code": the user may narrow the scopes)."""

from __future__ import annotations

from datetime import datetime

from smart_auth.authorization.scopes import ScopeSet, narrow, parse_scopes
from smart_auth.authorization.wording import choices_of, duration_of, facts_of, offered_values
from smart_auth.errors import PageError
from smart_auth.pages.rendering import AuthorizeView
from smart_auth.people.presence import Present
from smart_auth.people.users import User
from smart_auth.settings import SmartSettings
from smart_auth.store import Grant, Launch, Pending


def needs_patient(pending: Pending) -> bool:
    """Tell whether the request is about one patient."""
    scopes = parse_scopes(pending.request.scope)
    levels = {scope.level for scope in scopes.resources}
    return "launch/patient" in scopes or "patient" in levels


def view_of(
    pending: Pending, client_name: str, person: User, settings: SmartSettings
) -> AuthorizeView:
    """Return what the authorize page says."""
    scopes = parse_scopes(pending.request.scope)
    lifetimes = settings.app_token_lifetime, settings.session_lifetime, settings.refresh_lifetime
    return AuthorizeView(
        client_name=client_name,
        user_name=person.name,
        patient_label=pending.patient_label or pending.patient,
        choices=choices_of(scopes),
        facts=facts_of(scopes),
        duration=duration_of(scopes, *lifetimes),
    )


def picked_scopes(pending: Pending, picked: tuple[str, ...]) -> ScopeSet:
    """Return what was ticked, and the words that have no checkbox.

    Raises:
        PageError: Something was ticked that was not offered.
    """
    scopes = parse_scopes(pending.request.scope)
    if not set(picked) <= set(offered_values(choices_of(scopes))):
        raise PageError("The form holds a scope that was not offered.")
    chosen = parse_scopes(" ".join(picked))
    unticked = () if "offline_access" in picked else ("offline_access",)
    resources = narrow(ScopeSet(chosen.resources), ScopeSet(scopes.resources)).resources
    return ScopeSet(resources, scopes.without_words(*unticked).words)


def grant_of(
    grant_id: str, pending: Pending, present: Present, scopes: ScopeSet, now: datetime
) -> Grant:
    """Return what the person has granted."""
    launch = pending.launch or Launch(pending.request.client_id, present.person.username)
    online = "online_access" in scopes and "offline_access" not in scopes
    return Grant(
        grant_id=grant_id,
        client_id=pending.request.client_id,
        username=present.person.username,
        scope=str(scopes),
        auth_time=present.auth_time,
        granted_at=now.timestamp(),
        patient=pending.patient,
        encounter=launch.encounter,
        need_patient_banner=launch.need_patient_banner,
        intent=launch.intent,
        fhir_context=launch.fhir_context,
        online_until=present.ends if online else None,
        acr=present.acr,
        amr=present.amr,
    )
