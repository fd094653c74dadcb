"""Consents on a chain: what is filed there, and what is heard from there (ADR 0053)."""
