-- ? session
SELECT COALESCE(CAST(JSON_ARRAYAGG(JSON_OBJECT('resource', resource)) AS CHAR), '[]') INTO @freed FROM app.sqllock_waiters WHERE session = ?
