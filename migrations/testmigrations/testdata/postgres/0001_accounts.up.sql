CREATE TABLE accounts (id bigint PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL);
INSERT INTO accounts SELECT n, 'owner ' || n, 100 FROM generate_series(1, 1000) AS g (n);
CREATE TABLE ran (version bigint NOT NULL);
INSERT INTO ran VALUES (1);
