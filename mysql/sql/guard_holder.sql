-- Keeps one holder from being removed until this transaction ends.
-- ? resource, token, session
SELECT token FROM app.sqllock_holders FORCE INDEX (PRIMARY) WHERE resource = ? AND token = ? AND session = ? LOCK IN SHARE MODE
