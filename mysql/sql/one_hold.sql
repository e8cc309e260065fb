-- ? mode, permits, metadata, keep, keep
INSERT INTO app.sqllock_holders (resource, token, mode, permits, session, metadata, acquired_at, keep_until)
SELECT @resource, @token, ?, ?, @session, ?, UTC_TIMESTAMP(6), CASE WHEN ? > 0 THEN UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND END
  FROM DUAL WHERE @free
