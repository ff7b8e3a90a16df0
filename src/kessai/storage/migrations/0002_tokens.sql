-- Tokens, and answers to requests that are no transactions.
CREATE TABLE tokens (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    made BIGINT NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    state TEXT NOT NULL,
    document BYTEA NOT NULL,
    deleted_at BIGINT,
    customer TEXT,
    is_default INTEGER NOT NULL,
    instrument TEXT,
    expiry TEXT NOT NULL,
    fingerprint BYTEA,
    sealed BYTEA,
    PRIMARY KEY (merchant_id, id)
);

CREATE UNIQUE INDEX tokens_by_fingerprint ON tokens (merchant_id, fingerprint) WHERE fingerprint IS NOT NULL;

CREATE INDEX tokens_of_customer ON tokens (merchant_id, customer, kind, made)
    WHERE customer IS NOT NULL AND deleted_at IS NULL;

CREATE INDEX tokens_of_instrument ON tokens (merchant_id, instrument, made)
    WHERE instrument IS NOT NULL AND deleted_at IS NULL;

-- What requests were told that are no transactions; a claim leads to it.
CREATE TABLE answers (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    status INTEGER NOT NULL,
    answer BYTEA NOT NULL,
    PRIMARY KEY (merchant_id, id)
);
