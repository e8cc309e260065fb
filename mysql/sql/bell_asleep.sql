-- ? connection, connection
SELECT ?, IS_USED_LOCK(CONCAT('sqllock asleep ', ?)) IS NOT NULL
