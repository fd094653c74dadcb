-- Of a destroyed data key a proof is left from here on (vault/keyring.py).  Those that were emptied before get theirs when the
-- server starts, if the list of erasures has them (interactions/erasing/erasures.py).
INSERT OR REPLACE INTO meta (name, value)
    SELECT 'destroyed-unproved', x''
    WHERE EXISTS (SELECT 1 FROM data_key WHERE coalesce(wrapped, x'') = x'');
