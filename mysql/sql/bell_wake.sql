-- From here on who rings finds the connection awake.
SELECT RELEASE_LOCK(CONCAT('sqllock asleep ', CONNECTION_ID()))
