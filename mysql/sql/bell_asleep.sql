-- ? connections, as JSON
SELECT c.id, IS_USED_LOCK(CONCAT('sqllock asleep ', c.id)) <=> c.id FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) c
