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
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, key)
);

CREATE INDEX payment_links_paying ON payment_links (merchant_id, id) WHERE state = 'paying';
