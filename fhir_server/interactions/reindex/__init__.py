"""Custom search parameters and the jobs that bring older records into their index."""
