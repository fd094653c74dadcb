"""The only importer of Authlib: its token, introspection and revocation endpoints, completed.

Authlib's server core is synchronous.  It runs in a worker thread, and whatever it needs of the
store goes back to the event loop by ``anyio.from_thread.run``.  What stock Authlib does not do for
SMART is overridden here: client authentication (clients/authentication.py), PKCE for confidential
clients too, rotation of refresh tokens with detection of reuse, codes that are taken rather than
looked up, narrowing of scopes by their meaning, and its insistence on its own token generator.

Start with ``server.TokenEndpoints``.
"""
