-- ? session
SELECT RELEASE_LOCK(CONCAT('sqllock bell ', ?))
