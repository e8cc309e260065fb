SELECT @session IS NOT NULL, @free, COALESCE(@resource, 0), COALESCE(@token, 0)
