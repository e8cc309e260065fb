-- The connections of those who were told, as in wake.sql.
SELECT connection, IS_USED_LOCK(CONCAT('sqllock asleep ', COALESCE(connection, 0))) <=> connection
  FROM (SELECT DISTINCT IS_USED_LOCK(CONCAT('sqllock bell ', session)) AS connection
          FROM JSON_TABLE(@told, '$[*]' COLUMNS (session BIGINT PATH '$.session')) h) bells
 WHERE connection IS NOT NULL
