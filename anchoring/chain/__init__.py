"""A chain with an AuditAnchor on it: embedded, or any that speaks JSON-RPC."""
