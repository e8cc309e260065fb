-- Locks the resource, unless somebody else has it locked.
-- ? namespace, name
SELECT id, token + 1, alone INTO @resource, @token, @alone
  FROM app.sqllock_resources FORCE INDEX (by_name) WHERE namespace = ? AND name = ? FOR UPDATE SKIP LOCKED
