"""The store in a MongoDB replica set, shared by servers on several machines (``database.py`` puts it together)."""
