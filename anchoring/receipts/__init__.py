"""What proves an event to whoever keeps it, and the audit of a whole log."""
