-- Locks the name's entry in an index, and nothing else: until that ends nobody can be granted the name, but a transaction can lock its row.
-- ? namespace, name
SELECT MAX(id) INTO @resource
  FROM (SELECT id FROM app.sqllock_resources FORCE INDEX (by_name) WHERE namespace = ? AND name = ? LOCK IN SHARE MODE) r
