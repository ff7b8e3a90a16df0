-- Where merchants want to be told what happens, the keys that sign it, and what is on its way.
CREATE TABLE webhooks (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    document BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, id)
);

CREATE TABLE webhook_keys (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    wire TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    replaced_at BIGINT,
    PRIMARY KEY (merchant_id, id)
);

CREATE TABLE deliveries (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    endpoint TEXT NOT NULL,
    url TEXT NOT NULL,
    payment_id BIGINT NOT NULL,
    event TEXT NOT NULL,
    happened_at BIGINT NOT NULL,
    trick TEXT NOT NULL,
    holds INTEGER NOT NULL,
    state TEXT NOT NULL,
    run_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    result TEXT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (merchant_id, id)
);

CREATE INDEX deliveries_waiting ON deliveries (merchant_id, endpoint, run_at, id) WHERE state = 'waiting';

CREATE INDEX deliveries_open ON deliveries (merchant_id, endpoint, payment_id, id) WHERE state IN ('waiting', 'held');

CREATE INDEX deliveries_ended ON deliveries (merchant_id, state, run_at) WHERE state IN ('delivered', 'parked');

CREATE TABLE delivery_marks (
    merchant_id TEXT NOT NULL,
    holder BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (merchant_id)
);
