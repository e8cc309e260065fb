UPDATE app.sqllock_meta SET token_floor = GREATEST(token_floor, @highest)
