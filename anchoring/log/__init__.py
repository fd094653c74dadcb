"""The log: an RFC 9162 tree over commitments, kept as tiles, and its signed checkpoints."""
