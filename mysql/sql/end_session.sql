-- ? session
DELETE t FROM app.sqllock_sessions t FORCE INDEX (PRIMARY) WHERE t.id = ?
