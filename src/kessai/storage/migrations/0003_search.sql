-- Search: what transactions are found by, how far that has come, and the searches that were asked for.

-- What transactions are found by, written behind the road: a row and some terms each, keyed by time.
CREATE TABLE search_rows (
    merchant_id TEXT NOT NULL,
    submitted_at BIGINT NOT NULL,
    id BIGINT NOT NULL,
    is_open INTEGER NOT NULL,
    amount BIGINT,
    reference TEXT,
    rrn TEXT,
    approval_code TEXT,
    reconciliation_id TEXT,
    fingerprint TEXT,
    email TEXT,
    phone TEXT,
    ship_phone TEXT,
    last_name TEXT,
    first_name TEXT,
    customer_reference TEXT,
    customer_id TEXT,
    ip TEXT,
    solution_id TEXT,
    reseller_id TEXT,
    account_id TEXT,
    installment_id TEXT,
    card_suffix TEXT,
    card_prefix TEXT,
    brand TEXT,
    currency TEXT,
    commerce_indicator TEXT,
    PRIMARY KEY (merchant_id, submitted_at, id)
) /*clustered*/;

CREATE INDEX search_rows_open ON search_rows (merchant_id, id) WHERE is_open = 1;

CREATE TABLE search_terms (
    merchant_id TEXT NOT NULL,
    term TEXT NOT NULL,
    submitted_at BIGINT NOT NULL,
    id BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, term, submitted_at, id)
) /*clustered*/;

CREATE TABLE search_marks (
    merchant_id TEXT NOT NULL,
    indexed BIGINT NOT NULL,
    swept BIGINT NOT NULL,
    holder BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (merchant_id)
);

CREATE TABLE searches (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    is_saved INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    request BYTEA NOT NULL,
    PRIMARY KEY (merchant_id, id)
);

CREATE INDEX searches_unsaved ON searches (merchant_id, created_at) WHERE is_saved = 0;
