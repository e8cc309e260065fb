-- Names that are there are left alone: to insert one more would wait for whoever has it locked.
-- ? namespace, namespace
INSERT IGNORE INTO app.sqllock_resources (namespace, name, token, used_at)
SELECT ?, UNHEX(w.name), @floor, UTC_TIMESTAMP(6)
  FROM JSON_TABLE(@want, '$[*]' COLUMNS (name VARCHAR(510) PATH '$.name')) w
  LEFT JOIN app.sqllock_resources r FORCE INDEX (by_name) ON r.namespace = ? AND r.name = UNHEX(w.name)
 WHERE r.id IS NULL
 ORDER BY w.name
