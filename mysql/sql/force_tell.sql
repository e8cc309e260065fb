-- Tells the holders: those whose bell rings at once, the others when they renew.
UPDATE JSON_TABLE(@told, '$[*]' COLUMNS (session BIGINT PATH '$.session')) h
  STRAIGHT_JOIN app.sqllock_sessions t FORCE INDEX (PRIMARY) ON t.id = h.session
   SET t.epoch = t.epoch + 1
