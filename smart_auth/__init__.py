"""Who calls and what their token covers: SMART App Launch 2.2, OAuth 2, OpenID Connect.

Start with ``server.SmartServer``, the whole room as ``fhir_server`` sees it; ``bearer.Caller`` is
what a token turns into, ``scopes.ScopeSet`` what it covers, ``store.GrantStore`` what must be
implemented for it, ``launch.PatientDirectory`` where its patient picker looks.
"""
