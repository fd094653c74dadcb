-- The sealed store, schema version 1.  What stands here in clear is all that the database may know:
-- resource type, keyed hashes (row, token, patients), versions, times, deleted flags, key ids and padded lengths.
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Keys of the server itself (index, token signing, log signing), wrapped by the key provider.
CREATE TABLE secret (name TEXT PRIMARY KEY, wrapped BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Data keys: one for each patient, one for each type of what belongs to no patient.  Erasure empties ``wrapped``.
CREATE TABLE data_key (id BLOB PRIMARY KEY, owner BLOB NOT NULL, wrapped BLOB) STRICT;
CREATE INDEX data_key_by_owner ON data_key (owner);

-- One row for each resource; ``rid`` is its place in the order of creation and never changes.
CREATE TABLE record (
    rid INTEGER PRIMARY KEY,
    row BLOB NOT NULL UNIQUE,
    type TEXT NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    deleted INTEGER NOT NULL
) STRICT;
CREATE INDEX record_by_type ON record (type, rid) WHERE deleted = 0;
CREATE INDEX record_by_time ON record (type, at, rid) WHERE deleted = 0;

CREATE TABLE version (
    rid INTEGER NOT NULL REFERENCES record,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    key_id BLOB NOT NULL,
    patients BLOB NOT NULL,
    wraps BLOB NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (rid, version)
) STRICT;

-- The blind index over current versions.
CREATE TABLE token (token BLOB NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY (token, rid)) STRICT, WITHOUT ROWID;

-- The audit log: gapless numbers from 0, the commitment, and the sealed number that opens it.
CREATE TABLE audit (
    n INTEGER PRIMARY KEY,
    rid INTEGER NOT NULL REFERENCES record,
    commitment BLOB NOT NULL,
    opening BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_record ON audit (rid);

-- Codes, grants, sessions and spent assertion ids of the authorization server; values are sealed.
CREATE TABLE grant_item (
    kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_by_expiry ON grant_item (expires);

-- What the anchorer sent to the chain, in order.
CREATE TABLE anchor (size INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
