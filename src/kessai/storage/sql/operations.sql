-- is_alive --
-- The cheapest thing that only a database which works can answer.
SELECT 1;

-- queue_state --
-- The jobs of a merchant by state, but for notices: how many, when the first of them is due, the oldest.
SELECT state, COUNT(*), MIN(run_at), MIN(id) FROM jobs
 WHERE merchant_id = :merchant_id AND (kind < 'notice' OR kind >= 'noticf')
 GROUP BY state;

-- deliveries_state --
-- Notifications of a merchant that are on their way, and those that were given up. More than ten thousand are that many:
-- this is looked at often.
SELECT (SELECT COUNT(*) FROM (SELECT 1 AS one FROM deliveries AS d
                               WHERE d.merchant_id = :merchant_id AND d.state IN ('waiting', 'held') LIMIT 10000) AS w),
       (SELECT COUNT(*) FROM (SELECT 1 AS one FROM deliveries AS d
                               WHERE d.merchant_id = :merchant_id AND d.state = 'parked'
                                 AND d.state IN ('delivered', 'parked') LIMIT 10000) AS p);

-- claims_checked --
-- Claims in order of their keys, a page at a time, each with the transaction or answer that it names, or without.
SELECT c.key, c.transaction_id, COALESCE(t.id, a.id, k.id)
  FROM (SELECT merchant_id, key, transaction_id FROM claims
         WHERE merchant_id = :merchant_id AND key > :after ORDER BY key LIMIT :most) c
  LEFT JOIN transactions t ON t.merchant_id = c.merchant_id AND t.id = c.transaction_id
  LEFT JOIN answers a ON a.merchant_id = c.merchant_id AND a.id = c.transaction_id
  LEFT JOIN kept_answers k ON k.merchant_id = c.merchant_id AND k.key = c.key AND k.id = c.transaction_id
 ORDER BY c.key;

-- open_since --
-- Intents without an outcome that began before an instant.
SELECT id, requested_at FROM transactions
 WHERE merchant_id = :merchant_id AND status = 'pending' AND requested_at < :before
 ORDER BY id;

-- subscriptions_behind --
-- Subscriptions in the order of their ids, a page at a time.
SELECT id, version, terms FROM subscriptions WHERE merchant_id = :merchant_id AND id > :after ORDER BY id LIMIT 200;

-- charges_checked --
-- The charges of a subscription, each with the payment that it names, or without one.
SELECT c.period, c.attempt, c.state, c.currency, c.amount, c.transaction_id, t.status, t.currency, t.requested
  FROM subscription_charges c
  LEFT JOIN transactions t ON t.merchant_id = c.merchant_id AND t.id = c.transaction_id
 WHERE c.merchant_id = :merchant_id AND c.subscription_id = :subscription_id
 ORDER BY c.period, c.attempt;

-- jobs_checked --
-- The jobs of a merchant, each with the transaction that it is about, or without one.
SELECT j.kind, j.transaction_id, j.state, t.id
  FROM jobs j LEFT JOIN transactions t ON t.merchant_id = j.merchant_id AND t.id = j.transaction_id
 WHERE j.merchant_id = :merchant_id
 ORDER BY j.id;

-- next_bookkeeper --
-- The next merchant id that has entries, transactions or settlements, known to the gateway or not.
SELECT MIN(merchant_id) FROM (
    SELECT MIN(merchant_id) AS merchant_id FROM entries WHERE merchant_id > :after
    UNION ALL SELECT MIN(merchant_id) FROM transactions WHERE merchant_id > :after
    UNION ALL SELECT MIN(merchant_id) FROM settlements WHERE merchant_id > :after
) AS following;
