DELETE FROM leases WHERE name = ? AND owner = ?
