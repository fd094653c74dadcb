"""Bringing checkpoints to the chain: when, and through every failure on the way."""
