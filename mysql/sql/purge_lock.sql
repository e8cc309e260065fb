-- Locks them: a name may have been granted since.
SELECT COALESCE(GROUP_CONCAT(id), '') INTO @locked
  FROM (SELECT r.id
          FROM JSON_TABLE(CONCAT('[', @idle, ']'), '$[*]' COLUMNS (id BIGINT PATH '$')) i
          STRAIGHT_JOIN app.sqllock_resources r FORCE INDEX (PRIMARY) ON r.id = i.id
           FOR UPDATE /*!80000 OF r */ SKIP LOCKED) l
