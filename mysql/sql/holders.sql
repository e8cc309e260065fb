-- ? session
SELECT resource, token FROM app.sqllock_holders WHERE session = ? AND @epoch IS NOT NULL
