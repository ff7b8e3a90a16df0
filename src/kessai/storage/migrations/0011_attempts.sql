-- How often a card, an address, a refund came within a while: for the risk rules.
CREATE TABLE attempts (
    merchant_id TEXT NOT NULL,
    key BYTEA NOT NULL,
    at BIGINT NOT NULL,
    id BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, key, at, id)
) /*clustered*/;

CREATE INDEX attempts_old ON attempts (merchant_id, at);
