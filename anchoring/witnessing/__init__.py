"""Checkpoints are told to everybody, and cosigned: ours by others, others' by us (C2SP tlog-witness)."""
