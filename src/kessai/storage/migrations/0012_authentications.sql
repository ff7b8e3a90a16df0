-- Cardholders' authentications (EMV 3-D Secure), and the payments that wait for one.
CREATE TABLE authentications (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    name TEXT NOT NULL,
    key BYTEA,
    version BIGINT NOT NULL,
    document BYTEA NOT NULL,
    fingerprint BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    due_at BIGINT,
    card BYTEA,
    code BYTEA,
    wire TEXT,
    waiting BYTEA,
    went TEXT,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, name),
    UNIQUE (merchant_id, key)
);

CREATE INDEX authentications_due ON authentications (merchant_id, due_at) WHERE due_at IS NOT NULL;
