"""Tokens: made, signed, verified, looked at, bound to keys and revoked."""
