-- Cards on their way from a browser to their one use, and the installation's own keys for them.
CREATE TABLE flex_keys (
    id TEXT NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE transients (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    key BYTEA NOT NULL,
    card BYTEA NOT NULL,
    code BYTEA,
    brand TEXT,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, key)
);

CREATE INDEX transients_expiring ON transients (merchant_id, expires_at);
