-- The full tiles of the audit log (anchoring/log/tiles.py), made of audit.commitment; ``id`` is the level times 2**48 plus the index.
-- The root stands first: reading the roots of many tiles touches none of their hashes.
CREATE TABLE tile (id INTEGER PRIMARY KEY, root BLOB NOT NULL, hashes BLOB NOT NULL) STRICT;
