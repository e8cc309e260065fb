-- ? connection
SELECT GET_LOCK(CONCAT('sqllock rope ', ?), 0)
