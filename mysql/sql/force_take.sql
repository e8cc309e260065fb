-- Removes all holders.
DELETE h FROM app.sqllock_holders h FORCE INDEX (PRIMARY) WHERE h.resource = @resource
