-- What is selected into a variable leaves it as it was where no row is found.
SET @session = NULL, @resource = NULL, @token = NULL
