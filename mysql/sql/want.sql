-- ? wants, as JSON
SET @want = ?
