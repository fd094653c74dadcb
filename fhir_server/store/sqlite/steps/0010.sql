-- The blind index lies in parts, each of the records from ``first`` on (parts.py): new tokens go where few others are, so that a
-- commit dirties no more pages in a large store than in a small one.
CREATE TABLE part (n INTEGER PRIMARY KEY, first INTEGER NOT NULL UNIQUE, tokens INTEGER NOT NULL) STRICT;
INSERT INTO part (n, first, tokens) SELECT 0, 0, count(*) FROM token;
CREATE TABLE token_in_part (
    part INTEGER NOT NULL, token BLOB NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY (part, token, rid)
) STRICT, WITHOUT ROWID;
INSERT INTO token_in_part (part, token, rid) SELECT 0, token, rid FROM token ORDER BY token, rid;
DROP TABLE token;
ALTER TABLE token_in_part RENAME TO token;
