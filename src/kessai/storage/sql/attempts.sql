-- add_attempt --
INSERT INTO attempts (merchant_id, key, id, at, amount) VALUES (:merchant_id, :key, :id, :at, :amount);

-- attempts_since --
-- All of a key after an instant, but for one of them.
SELECT at, amount FROM attempts
 WHERE merchant_id = :merchant_id AND key = :key AND at > :since AND id <> :id
 ORDER BY at DESC LIMIT 10000;

-- purge_attempts --
DELETE FROM attempts WHERE merchant_id = :merchant_id AND at < :before;
