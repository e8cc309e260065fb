SELECT (SELECT MAX(version) FROM app.sqllock_schema_version WHERE NOT dirty), (SELECT oldest_reader FROM app.sqllock_meta)
