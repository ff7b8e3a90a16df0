-- Recurring billing, and business clocks that a sandbox moves.
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
