-- ? resource
DELETE FROM app.sqllock_holders WHERE resource = ? AND token = @token
