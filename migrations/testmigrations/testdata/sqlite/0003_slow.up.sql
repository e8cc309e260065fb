-- Waits for as long as the test wants.
INSERT INTO ran VALUES (3);
SELECT gate();
