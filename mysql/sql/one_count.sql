UPDATE app.sqllock_resources FORCE INDEX (PRIMARY) SET token = @token, alone = 1, used_at = UTC_TIMESTAMP(6) WHERE id = @resource AND @free
