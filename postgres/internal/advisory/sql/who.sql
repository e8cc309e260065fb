-- Which server process runs this: behind some poolers it is another each time.
SELECT pg_backend_pid()
