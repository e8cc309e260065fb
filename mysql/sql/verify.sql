-- ? session, resource, token
SELECT EXISTS (SELECT 1 FROM app.sqllock_holders h JOIN app.sqllock_sessions t ON t.id = h.session
                WHERE t.id = ? AND h.resource = ? AND h.token = ? AND t.expires_at > UTC_TIMESTAMP(6))
