-- Locks the resources that we may look at. What was locked is remembered for the statements that follow: they must be statements of
-- their own, because what this one reads without locking is older than the locks it gets.
-- ? namespace
SELECT COALESCE(GROUP_CONCAT(id), '') INTO @locked
  FROM (SELECT r.id
          FROM JSON_TABLE(@want, '$[*]' COLUMNS (name VARCHAR(510) PATH '$.name')) w
          STRAIGHT_JOIN app.sqllock_resources r FORCE INDEX (by_name) ON r.namespace = ? AND r.name = UNHEX(w.name)
           FOR UPDATE /*!80000 OF r */ SKIP LOCKED) l
