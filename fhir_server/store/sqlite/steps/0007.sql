-- The mark of the index of AuditEvents belongs to a process, and its absence says that nothing is missing (``sqlite_marks.py``).
-- What an older program left is the mark of a process that is gone.
INSERT INTO meta (name, value)
    SELECT 'audit-indexed:0', coalesce((SELECT value FROM meta WHERE name = 'audit-indexed'), x'0000000000000000')
    WHERE EXISTS (SELECT 1 FROM audit);
DELETE FROM meta WHERE name = 'audit-indexed';
