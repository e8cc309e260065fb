-- Session locks that are held stay held: they are not kept here.
DROP SEQUENCE sqllock_token;
DROP TABLE sqllock_names, sqllock_leaders;
