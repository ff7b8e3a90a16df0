-- flex_keys --
-- The installation's keys for cards on their way from browsers, oldest first.
SELECT id, purpose, sealed FROM flex_keys ORDER BY created_at, id;

-- add_flex_key --
INSERT INTO flex_keys (id, purpose, sealed, created_at) VALUES (:id, :purpose, :sealed, :created_at);

-- add_transient --
INSERT INTO transients (merchant_id, id, key, card, code, brand, expires_at)
VALUES (:merchant_id, :id, :key, :card, :code, :brand, :expires_at);

-- find_transient --
-- What a transient token stands for, by the hash of its name.
SELECT id, card, code, brand, expires_at FROM transients WHERE merchant_id = :merchant_id AND key = :key;

-- oldest_transient --
SELECT MIN(expires_at) FROM transients WHERE merchant_id = :merchant_id;

-- purge_transients --
-- Transient tokens whose time has passed, spent or not.
DELETE FROM transients WHERE merchant_id = :merchant_id AND expires_at <= :now;
