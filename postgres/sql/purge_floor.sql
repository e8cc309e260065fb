-- Keeps seeding out until the floor is raised.
SELECT token_floor FROM public.sqllock_meta FOR UPDATE
