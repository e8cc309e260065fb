-- On a node of a Galera cluster, has the reads that follow wait for what was committed on other nodes before.
SET SESSION wsrep_sync_wait = 1
