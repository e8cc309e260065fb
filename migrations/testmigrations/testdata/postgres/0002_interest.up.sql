-- Twice would be too much.
UPDATE accounts SET balance = 2 * balance + 1;
INSERT INTO ran VALUES (2);
