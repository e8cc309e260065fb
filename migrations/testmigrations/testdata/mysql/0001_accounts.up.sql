CREATE TABLE accounts (id bigint PRIMARY KEY, owner varchar(100) NOT NULL, balance bigint NOT NULL);
INSERT INTO accounts WITH RECURSIVE g (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < 1000) SELECT n, CONCAT('owner ', n), 100 FROM g;
CREATE TABLE ran (version bigint NOT NULL);
INSERT INTO ran VALUES (1);
