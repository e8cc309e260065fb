-- ? session
SELECT epoch FROM app.sqllock_sessions WHERE id = ? AND ROW_COUNT() > 0
