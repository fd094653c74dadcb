-- Codes lie under a patient's tokens without their systems from here on, references without their ids alone, and patients who are
-- subjects as subjects: the tokens of records are made again when the server starts (interactions/reindex/anew.py).
DELETE FROM token;
UPDATE part SET tokens = 0;
INSERT OR REPLACE INTO meta (name, value)
    SELECT 'reindex|all', x'' WHERE EXISTS (SELECT 1 FROM record);
