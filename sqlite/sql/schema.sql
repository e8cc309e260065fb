SELECT (SELECT max(version) FROM sqllock_schema_version WHERE NOT dirty), (SELECT oldest_reader FROM sqllock_meta)
