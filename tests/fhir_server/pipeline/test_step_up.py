"""Breaking the glass takes two factors, shown a short while ago."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fhir_server.errors import UnauthorizedError
from fhir_server.forms import Requester
from fhir_server.pipeline.step_up import require_step_up
from smart_auth.people.assurance import PASSWORD_ALONE, TWO_FACTORS
from tests.fhir_server.clinic import START, Clinic

PERSON = "Practitioner/er"


@pytest.fixture
def callers(tmp_path: Any) -> Clinic:
    """Only its register of callers is used."""
    return Clinic(*(None,) * 3, tmp_path)  # type: ignore[arg-type]


def asking(callers: Clinic, purpose: str = "BTG", **caller: Any) -> Requester:
    name = callers.caller("er", "user/*.rs", "Organization/er", ("TREAT", "BTG"), **caller)
    return Requester(callers.callers[name], purpose, "emergency")


def test_two_factors_of_this_minute_break_the_glass(callers: Clinic) -> None:
    for age in (0, 1, 300):
        at = START - timedelta(seconds=age)
        require_step_up(asking(callers, user=PERSON, acr=TWO_FACTORS, auth_time=at), START)


@pytest.mark.parametrize(
    "caller",
    [
        {},
        {"acr": TWO_FACTORS},
        {"auth_time": START},
        {"acr": PASSWORD_ALONE, "auth_time": START},
        {"acr": TWO_FACTORS, "auth_time": START - timedelta(seconds=301)},
        {"acr": TWO_FACTORS, "auth_time": START - timedelta(days=1)},
    ],
)
def test_less_does_not_and_the_app_is_told_what_to_ask_for(
    callers: Clinic, caller: dict[str, Any]
) -> None:
    with pytest.raises(UnauthorizedError) as refused:
        require_step_up(asking(callers, user=PERSON, **caller), START)
    # RFC 9470, 3
    assert refused.value.challenge == (
        'Bearer realm="fhir", error="insufficient_user_authentication", '
        'acr_values="https://refeds.org/profile/mfa", max_age="300"'
    )
    with pytest.raises(UnauthorizedError) as refused:
        require_step_up(asking(callers, user=PERSON, key="thumbprint", **caller), START)
    assert refused.value.challenge.startswith("DPoP ")


def test_other_purposes_and_systems_are_not_asked(callers: Clinic) -> None:
    require_step_up(asking(callers, "TREAT", user=PERSON), START)
    require_step_up(asking(callers), START)
    require_step_up(Requester(None), START)
