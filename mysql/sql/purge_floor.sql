-- Keeps seeding out until the floor is raised.
SELECT MAX(token_floor) INTO @floor FROM (SELECT token_floor FROM app.sqllock_meta FOR UPDATE) m
