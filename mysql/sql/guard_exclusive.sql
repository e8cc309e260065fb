-- Keeps the name from being granted until this transaction ends, and says who was granted it last. The lock comes with the latest
-- version of the row; the second column, which may be as old as the transaction's snapshot, only tells one database from another.
-- ? token, session, resource
SELECT r.token, EXISTS (SELECT 1 FROM app.sqllock_holders h WHERE h.resource = r.id AND h.token = ? AND h.session = ?)
  FROM app.sqllock_resources r WHERE r.id = ? LOCK IN SHARE MODE
