"""Everything that is stored, looked at, for the operator's ``consentry check``."""
