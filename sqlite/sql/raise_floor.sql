-- ?1 the largest token of the names removed
UPDATE sqllock_meta SET token_floor = max(token_floor, ?1)
