"""What the server says of itself: SMART ``.well-known/smart-configuration`` (SMART App Launch 2.2,
"Conformance"), OpenID Connect Discovery 1.0, 3, and the SMART style."""

from __future__ import annotations

from smart_auth.authorization.scopes import WORDS
from smart_auth.clients.registry import GRANT_TYPES
from smart_auth.people.assurance import LEVELS
from smart_auth.settings import SmartSettings
from smart_auth.tokens.jwt import ASSERTION_ALGORITHMS, FAPI_ALGORITHMS, ID_ALGORITHM
from smart_auth.tokens.signed_proofs import PROOF_ALGORITHMS

CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
    "smart-app-state",
)

_SCOPES = (
    *WORDS,
    "patient/*.rs",
    "patient/*.cruds",
    "user/*.rs",
    "user/*.cruds",
    "system/*.rs",
    "system/*.cruds",
)
_CLIENT_AUTHENTICATION = ["private_key_jwt", "client_secret_basic", "client_secret_post"]


def smart_configuration(settings: SmartSettings) -> dict[str, object]:
    """Return the SMART configuration document."""
    return {**_shared(settings), **_brand(settings), "capabilities": list(CAPABILITIES)}


def openid_configuration(settings: SmartSettings) -> dict[str, object]:
    """Return the OpenID provider metadata."""
    return {
        **_shared(settings),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ID_ALGORITHM],
        "claims_supported": [
            *("iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "amr", "nonce"),
            *("fhirUser", "profile", "name"),
        ],
        "acr_values_supported": list(LEVELS),
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def smart_style() -> dict[str, object]:
    """Return the SMART style (SMART App Launch 2.2, "Styling")."""
    return {
        "color_background": "#ffffff",
        "color_error": "#a4001d",
        "color_highlight": "#0b5cad",
        "color_modal_backdrop": "#333333",
        "color_success": "#1a6b2f",
        "color_text": "#1b1b1b",
        "dim_border_radius": "4px",
        "dim_font_size": "16px",
        "dim_spacing_size": "16px",
        "font_family_body": "sans-serif",
        "font_family_heading": "sans-serif",
    }


def _brand(settings: SmartSettings) -> dict[str, object]:
    if not settings.brand_bundle:
        return {}
    named = zip(("system", "value"), settings.brand_identifier, strict=True)
    identifier = {name: text for name, text in named if text}
    return {
        "user_access_brand_bundle": settings.brand_bundle,
        "user_access_brand_identifier": identifier,
    }


def _shared(settings: SmartSettings) -> dict[str, object]:
    methods = [*_CLIENT_AUTHENTICATION, "none"]
    return {
        "issuer": settings.issuer,
        "jwks_uri": f"{settings.issuer}/jwks",
        "authorization_endpoint": settings.authorization_endpoint,
        "token_endpoint": settings.token_endpoint,
        "management_endpoint": settings.apps_page,
        "introspection_endpoint": settings.introspection_endpoint,
        "registration_endpoint": settings.registration_endpoint,
        "revocation_endpoint": settings.revocation_endpoint,
        "grant_types_supported": list(GRANT_TYPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "scopes_supported": list(_SCOPES),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": list(
            dict.fromkeys((*ASSERTION_ALGORITHMS, *FAPI_ALGORITHMS))
        ),
        "introspection_endpoint_auth_methods_supported": list(_CLIENT_AUTHENTICATION),
        "revocation_endpoint_auth_methods_supported": methods,
        "authorization_response_iss_parameter_supported": True,
        "pushed_authorization_request_endpoint": settings.pushing_endpoint,
        "require_pushed_authorization_requests": False,
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
    }
