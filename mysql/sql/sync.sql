-- Waits, after sync_on.sql.
SELECT EXISTS (SELECT 1 FROM app.sqllock_resources WHERE id = 0)
