-- When a data key was made, for those who say how old a key may become.
ALTER TABLE data_key ADD COLUMN made INTEGER NOT NULL DEFAULT 0;

-- Records of several patients are few: what erases or reseals looks through them alone.
CREATE INDEX version_shared ON version (rid, version) WHERE length(wraps) > 0;

-- How often a key has stopped being good (store/shelf.py, KeyTable.epoch).
INSERT OR IGNORE INTO meta (name, value) VALUES ('key-epoch', x'0000000000000000');
