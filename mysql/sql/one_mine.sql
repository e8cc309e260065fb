-- One holder to be given up, unless a guarded transaction has it locked, or it is to be kept.
-- ? resource, token
SELECT token INTO @token FROM app.sqllock_holders FORCE INDEX (PRIMARY)
 WHERE resource = ? AND token = ? AND COALESCE(keep_until <= UTC_TIMESTAMP(6), 1) FOR UPDATE SKIP LOCKED
