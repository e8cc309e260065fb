-- Takes the write lock of the file, which nobody else can then have until this transaction ends: no grant, no eviction.
UPDATE sqllock_meta SET token_floor = token_floor
