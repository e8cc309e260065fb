CREATE TABLE commits (id int PRIMARY KEY, n bigint NOT NULL);
INSERT INTO commits SELECT g, 0 FROM generate_series(0, 1023) g;
CREATE TABLE leases (name text PRIMARY KEY, owner text NOT NULL, expires_at timestamptz NOT NULL);
