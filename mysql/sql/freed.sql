-- ? resources, as JSON
SET @freed = ?
