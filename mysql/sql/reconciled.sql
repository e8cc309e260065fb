-- ? session
SELECT MAX(epoch) INTO @epoch FROM app.sqllock_sessions WHERE id = ? AND ROW_COUNT() > 0
