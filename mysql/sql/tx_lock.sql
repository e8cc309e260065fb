-- ? resource
SELECT id FROM app.sqllock_resources WHERE id = ? FOR UPDATE SKIP LOCKED
