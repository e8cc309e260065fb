-- The server's default again.
SET SESSION wsrep_sync_wait = DEFAULT
