-- Links to the hosted payment page, until they are used or their time has passed.
CREATE TABLE payment_links (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    key BYTEA NOT NULL,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    payment_id BIGINT,
    document BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    due_at BIGINT,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, key)
);

CREATE INDEX payment_links_due ON payment_links (merchant_id, due_at) WHERE due_at IS NOT NULL;
