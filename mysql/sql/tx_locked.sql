SET @locked = COALESCE(@resource, '')
