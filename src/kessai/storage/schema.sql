-- What Kessai keeps. Words that SQLite and PostgreSQL share; merchant id first in every key of merchant data.
-- Instants are milliseconds since 1970 (UTC), money is minor units. `/*clustered*/` marks narrow tables that the
-- embedded engine keeps in key order without a second copy of the key.

CREATE TABLE merchants (
    id TEXT NOT NULL PRIMARY KEY,
    personality TEXT NOT NULL,
    mode TEXT NOT NULL,
    terms TEXT NOT NULL,
    settled_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE merchant_keys (
    merchant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    sealed BYTEA,
    certificate BYTEA,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    PRIMARY KEY (merchant_id, id)
);

CREATE TABLE keysets (
    merchant_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, purpose)
);

CREATE TABLE vault_keys (
    merchant_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    id BYTEA NOT NULL,
    seals BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    promoted_at BIGINT,
    destroyed_at BIGINT,
    PRIMARY KEY (merchant_id, purpose, id)
);

CREATE TABLE message_keys (
    id TEXT NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL,
    certificate BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE payments (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    brand TEXT,
    pan_prefix TEXT NOT NULL,
    pan_suffix TEXT NOT NULL,
    expiry TEXT NOT NULL,
    card BYTEA,
    fingerprint BYTEA,
    expires_at BIGINT,
    PRIMARY KEY (merchant_id, id)
);

CREATE INDEX payments_expiring ON payments (merchant_id, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE transactions (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    payment_id BIGINT NOT NULL,
    operation TEXT NOT NULL,
    status TEXT NOT NULL,
    currency TEXT NOT NULL,
    requested BIGINT NOT NULL,
    approved BIGINT NOT NULL,
    hold BIGINT NOT NULL,
    target_id BIGINT,
    reference TEXT NOT NULL,
    merchant_transaction_id TEXT,
    reason TEXT,
    stan TEXT NOT NULL,
    rrn TEXT NOT NULL,
    flags TEXT NOT NULL,
    facts TEXT NOT NULL,
    payment_option TEXT,
    warnings TEXT NOT NULL,
    particulars BYTEA NOT NULL,
    requested_at BIGINT NOT NULL,
    concluded_at BIGINT,
    settlement_id BIGINT,
    lease BIGINT NOT NULL,
    correlation TEXT NOT NULL,
    answer_status INTEGER,
    answer BYTEA,
    PRIMARY KEY (merchant_id, id)
);

-- A payment's first transaction has its id; only what follows has to be looked for.
CREATE INDEX transactions_of_payment ON transactions (merchant_id, payment_id, id) WHERE id <> payment_id;

CREATE INDEX transactions_by_merchants_id ON transactions (merchant_id, merchant_transaction_id, id)
    WHERE merchant_transaction_id IS NOT NULL;

CREATE INDEX transactions_open ON transactions (merchant_id, id) WHERE status = 'pending';

CREATE INDEX transactions_unsettled ON transactions (merchant_id, id)
    WHERE settlement_id IS NULL AND status = 'approved'
          AND (operation = 'sale' OR operation = 'capture' OR operation = 'refund' OR operation = 'credit');

CREATE TABLE entries (
    merchant_id TEXT NOT NULL,
    transaction_id BIGINT NOT NULL,
    line INTEGER NOT NULL,
    account TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount BIGINT NOT NULL,
    posted_at BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, transaction_id, line)
) /*clustered*/;

CREATE TABLE settlements (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    currency TEXT NOT NULL,
    business_date TEXT NOT NULL,
    captured BIGINT NOT NULL,
    returned BIGINT NOT NULL,
    transactions INTEGER NOT NULL,
    cut_at BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, id)
);

CREATE TABLE claims (
    merchant_id TEXT NOT NULL,
    key BYTEA NOT NULL,
    request BYTEA NOT NULL,
    transaction_id BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, key)
) /*clustered*/;

CREATE TABLE events (
    merchant_id TEXT NOT NULL,
    transaction_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (merchant_id, transaction_id, id)
) /*clustered*/;

CREATE TABLE jobs (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    transaction_id BIGINT NOT NULL,
    state TEXT NOT NULL,
    run_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, id)
);

CREATE INDEX jobs_waiting ON jobs (merchant_id, run_at) WHERE state <> 'parked';

CREATE TABLE nodes (
    node INTEGER NOT NULL PRIMARY KEY,
    lease BIGINT NOT NULL,
    until BIGINT NOT NULL,
    host TEXT NOT NULL,
    loaded BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE changes (
    id INTEGER NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);

CREATE TABLE clocks (
    merchant_id TEXT NOT NULL,
    ahead_ms BIGINT NOT NULL,
    PRIMARY KEY (merchant_id)
);

CREATE TABLE plans (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    code TEXT NOT NULL,
    number BIGINT NOT NULL,
    state TEXT NOT NULL,
    name TEXT NOT NULL,
    was_subscribed INTEGER NOT NULL,
    terms TEXT NOT NULL,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, code)
);

CREATE TABLE subscriptions (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    code TEXT NOT NULL,
    number BIGINT NOT NULL,
    state TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    plan_id BIGINT,
    plan_code TEXT NOT NULL,
    plan_name TEXT NOT NULL,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    due_at BIGINT,
    terms TEXT NOT NULL,
    PRIMARY KEY (merchant_id, id),
    UNIQUE (merchant_id, code)
);

CREATE INDEX subscriptions_due ON subscriptions (merchant_id, due_at, id) WHERE due_at IS NOT NULL;

CREATE INDEX subscriptions_of_customer ON subscriptions (merchant_id, customer_id, id);

CREATE INDEX subscriptions_of_plan ON subscriptions (merchant_id, plan_id, id) WHERE plan_id IS NOT NULL;

CREATE TABLE subscription_charges (
    merchant_id TEXT NOT NULL,
    subscription_id BIGINT NOT NULL,
    period INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    id BIGINT NOT NULL,
    state TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount BIGINT NOT NULL,
    setup_fee BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    begun_at BIGINT NOT NULL,
    concluded_at BIGINT,
    transaction_id BIGINT,
    PRIMARY KEY (merchant_id, subscription_id, period, attempt)
) /*clustered*/;

CREATE TABLE kept_answers (
    merchant_id TEXT NOT NULL,
    key BYTEA NOT NULL,
    request BYTEA NOT NULL,
    id BIGINT NOT NULL,
    status INTEGER,
    answer BYTEA,
    PRIMARY KEY (merchant_id, key)
) /*clustered*/;

CREATE INDEX kept_answers_old ON kept_answers (merchant_id, id);

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

-- Network tokens that were asked for: few at any time, looked for often.
CREATE INDEX tokens_pending ON tokens (merchant_id, made) WHERE state = 'PENDING' AND deleted_at IS NULL;

-- What requests were told that are no transactions; a claim leads to it.
CREATE TABLE answers (
    merchant_id TEXT NOT NULL,
    id BIGINT NOT NULL,
    status INTEGER NOT NULL,
    answer BYTEA NOT NULL,
    PRIMARY KEY (merchant_id, id)
);
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
    account_suffix TEXT,
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

CREATE TABLE attempts (
    merchant_id TEXT NOT NULL,
    key BYTEA NOT NULL,
    at BIGINT NOT NULL,
    id BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, key, at, id)
) /*clustered*/;

CREATE INDEX attempts_old ON attempts (merchant_id, at);

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
