SELECT JSON_LENGTH(CONCAT('[', @idle, ']')), @purged
