-- ? session
SELECT GET_LOCK(CONCAT('sqllock bell ', ?), 0), IS_USED_LOCK(CONCAT('sqllock bell ', ?))
