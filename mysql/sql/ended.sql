-- What the end of a session has made room in: its holders, and the lines it stood in.
SET @freed = JSON_MERGE_PRESERVE(@freed, @mine)
