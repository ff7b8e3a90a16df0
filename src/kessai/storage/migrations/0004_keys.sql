-- The vault's keys one by one: how often each has sealed, and since when. What a process has loaded.
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

-- What was sealed before it was counted.
INSERT INTO vault_keys (merchant_id, purpose, id, seals, created_at)
SELECT p.merchant_id, 'card', substr(p.card, 3, 4), COUNT(*), MIN(k.created_at)
  FROM payments AS p JOIN keysets AS k ON k.merchant_id = p.merchant_id AND k.purpose = 'card'
 WHERE p.card IS NOT NULL
 GROUP BY p.merchant_id, substr(p.card, 3, 4);

-- The installation's own pairs for encrypted messages.
CREATE TABLE message_keys (
    id TEXT NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL,
    certificate BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

ALTER TABLE nodes ADD COLUMN loaded BIGINT NOT NULL DEFAULT 0;
