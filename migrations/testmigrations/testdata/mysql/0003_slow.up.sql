-- Waits for as long as the test locks the table.
INSERT INTO ran SELECT 3 FROM gate;
