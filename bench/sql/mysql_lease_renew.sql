UPDATE leases SET expires_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
 WHERE name = ? AND owner = ? AND expires_at > UTC_TIMESTAMP(6)
