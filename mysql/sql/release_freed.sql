-- All that were to be given up, not only those that were: the answer to an earlier request may have been lost, and with it the ringing.
SET @freed = @want
