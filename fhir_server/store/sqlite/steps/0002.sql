-- The blind index over AuditEvents, which are never changed: a JSON array of up to 512 rids for each token, rising.
CREATE TABLE event_token (
    token BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, rids TEXT NOT NULL,
    PRIMARY KEY (token, first)
) STRICT, WITHOUT ROWID;
