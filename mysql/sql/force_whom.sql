SELECT COALESCE(CAST(JSON_ARRAYAGG(JSON_OBJECT('session', session)) AS CHAR), '[]'),
       CASE WHEN @resource IS NULL THEN '[]' ELSE JSON_ARRAY(JSON_OBJECT('resource', @resource)) END
  INTO @told, @freed
  FROM (SELECT DISTINCT session FROM app.sqllock_holders WHERE resource = @resource AND session IS NOT NULL) h
