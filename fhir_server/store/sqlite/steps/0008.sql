-- What the authorization server keeps for good: accounts, clients, grants (store/database.py, RegisterItems).
CREATE TABLE register_item (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    owner TEXT NOT NULL,
    version INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX register_by_owner ON register_item (kind, owner);
