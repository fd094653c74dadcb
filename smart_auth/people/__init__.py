"""The people who sign in: who they are, what they show, and how that is remembered."""
