-- After the commit: while there are row locks nothing waits for the network.
SELECT @session IS NOT NULL, @granted, @locked
