-- Names start from the floor that Purge has raised. The floor is locked: a name that is being purged cannot come back below it.
SELECT MAX(token_floor) INTO @floor FROM (SELECT token_floor FROM app.sqllock_meta LOCK IN SHARE MODE) m
