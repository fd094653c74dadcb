-- Large documents: what is staged has no record yet; the unit of work that writes the record gives it one.
CREATE TABLE document (id BLOB PRIMARY KEY, rid INTEGER REFERENCES record, touched INTEGER NOT NULL) STRICT;
CREATE INDEX document_by_record ON document (rid);
-- Sealed, 64 KiB each, numbered from 0.
CREATE TABLE chunk (document BLOB NOT NULL, n INTEGER NOT NULL, sealed BLOB NOT NULL, UNIQUE (document, n)) STRICT;
