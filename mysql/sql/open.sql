-- ? session, owner, ttl in microseconds
INSERT INTO app.sqllock_sessions (id, owner, epoch, opened_at, expires_at)
VALUES (?, ?, 0, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND)
