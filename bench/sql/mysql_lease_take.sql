INSERT INTO leases (name, owner, expires_at) VALUES (?, ?, UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND)
    ON DUPLICATE KEY UPDATE
       owner = IF(expires_at < UTC_TIMESTAMP(6), VALUES(owner), owner),
       expires_at = IF(owner = VALUES(owner), VALUES(expires_at), expires_at)
