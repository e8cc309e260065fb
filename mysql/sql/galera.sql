-- One row where Galera replicates, none where it is unknown.
SHOW GLOBAL VARIABLES WHERE Variable_name = 'wsrep_on' AND Value = 'ON'
