"""The story of the demo: one patient's record on its whole way, over HTTP, with tokens, and with proofs.

``consentry demo`` tells it; ``tests/journeys`` walks its paths with wrong inputs.
"""
