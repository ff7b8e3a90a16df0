-- webhooks_of --
SELECT id, version, kind, status, document, created_at, updated_at FROM webhooks
 WHERE merchant_id = :merchant_id ORDER BY created_at, id;

-- add_webhook --
INSERT INTO webhooks (merchant_id, id, version, kind, status, document, created_at, updated_at)
VALUES (:merchant_id, :id, 0, :kind, :status, :document, :now, :now)
ON CONFLICT (merchant_id, id) DO NOTHING
RETURNING id;

-- change_webhook --
-- None back: somebody changed it meanwhile, or it is gone.
UPDATE webhooks SET version = version + 1, status = :status, document = :document, updated_at = :now
 WHERE merchant_id = :merchant_id AND id = :id AND version = :version
RETURNING id;

-- touch_webhook --
-- A listener is still there. None back: it is not.
UPDATE webhooks SET updated_at = :now WHERE merchant_id = :merchant_id AND id = :id AND kind = 'listener' RETURNING id;

-- delete_webhook --
DELETE FROM webhooks WHERE merchant_id = :merchant_id AND id = :id RETURNING id;

-- drop_deliveries --
-- What is still on its way to a webhook that is no more.
DELETE FROM deliveries WHERE merchant_id = :merchant_id AND endpoint = :id AND state IN ('waiting', 'held');

-- webhook_keys --
SELECT id, wire, sealed, created_at, expires_at, replaced_at FROM webhook_keys
 WHERE merchant_id = :merchant_id ORDER BY created_at, id;

-- replace_webhook_keys --
UPDATE webhook_keys SET replaced_at = :now
 WHERE merchant_id = :merchant_id AND wire = :wire AND replaced_at IS NULL;

-- add_webhook_key --
INSERT INTO webhook_keys (merchant_id, id, wire, sealed, created_at, expires_at)
VALUES (:merchant_id, :id, :wire, :sealed, :now, :expires_at);

-- hold_deliveries --
-- One row back: the merchant's deliveries are the caller's until `until`. None: another process is at them, and lives.
INSERT INTO delivery_marks (merchant_id, holder, until)
VALUES (:merchant_id, :holder, :until)
ON CONFLICT (merchant_id) DO UPDATE
   SET holder = excluded.holder, until = excluded.until
 WHERE delivery_marks.until < :now OR delivery_marks.holder = excluded.holder
    OR delivery_marks.holder NOT IN (SELECT lease FROM nodes)
RETURNING holder;

-- notices --
-- Outcomes that nobody was told of yet, in the order in which they happened.
SELECT id, kind, transaction_id FROM jobs
 WHERE merchant_id = :merchant_id AND kind >= 'notice' AND kind < 'noticf' ORDER BY id LIMIT :most;

-- noticed_payments --
-- What notices are about: transactions with their answers and payments.
SELECT t.id, t.answer_status, t.answer, p.id, p.version, p.brand, p.pan_prefix, p.pan_suffix, p.expiry, p.expires_at, p.card
  FROM jobs AS j
 CROSS JOIN transactions AS t ON t.merchant_id = j.merchant_id AND t.id = j.transaction_id
 CROSS JOIN payments AS p ON p.merchant_id = t.merchant_id AND p.id = t.payment_id
 WHERE j.merchant_id = :merchant_id AND j.id BETWEEN :first AND :last AND j.kind >= 'notice' AND j.kind < 'noticf';

-- noticed_transactions --
-- All transactions of those payments, oldest first.
SELECT o.id, o.payment_id, o.operation, o.status, o.currency, o.requested, o.approved, o.hold, o.target_id, o.reference,
       o.merchant_transaction_id, o.reason, o.stan, o.rrn, o.flags, o.facts, o.payment_option, o.warnings,
       o.particulars, o.requested_at, o.concluded_at, o.settlement_id
  FROM jobs AS j
 CROSS JOIN transactions AS t ON t.merchant_id = j.merchant_id AND t.id = j.transaction_id
 CROSS JOIN transactions AS o ON o.merchant_id = t.merchant_id AND o.id = t.payment_id
 WHERE j.merchant_id = :merchant_id AND j.id BETWEEN :first AND :last AND j.kind >= 'notice' AND j.kind < 'noticf'
UNION ALL
SELECT o.id, o.payment_id, o.operation, o.status, o.currency, o.requested, o.approved, o.hold, o.target_id, o.reference,
       o.merchant_transaction_id, o.reason, o.stan, o.rrn, o.flags, o.facts, o.payment_option, o.warnings,
       o.particulars, o.requested_at, o.concluded_at, o.settlement_id
  FROM jobs AS j
 CROSS JOIN transactions AS t ON t.merchant_id = j.merchant_id AND t.id = j.transaction_id
 CROSS JOIN transactions AS o ON o.merchant_id = t.merchant_id AND o.payment_id = t.payment_id AND o.id <> o.payment_id
 WHERE j.merchant_id = :merchant_id AND j.id BETWEEN :first AND :last AND j.kind >= 'notice' AND j.kind < 'noticf'
 ORDER BY 1;

-- take_notice --
DELETE FROM jobs WHERE merchant_id = :merchant_id AND id = :id RETURNING id;

-- add_delivery --
-- Held back while an earlier one of the same payment is on its way to the same place.
INSERT INTO deliveries (merchant_id, id, endpoint, url, payment_id, event, happened_at, trick, holds, state, run_at,
                        attempts, result, body)
VALUES (:merchant_id, :id, :endpoint, :url, :payment_id, :event, :happened_at, :trick, :holds,
        CASE WHEN :holds = 1
              AND EXISTS (SELECT 1 FROM deliveries AS d
                           WHERE d.merchant_id = :merchant_id AND d.endpoint = :endpoint
                             AND d.payment_id = :payment_id AND d.state IN ('waiting', 'held') AND d.holds = 1)
             THEN 'held' ELSE 'waiting' END,
        :run_at, 0, '', :body);

-- due_deliveries --
SELECT id, endpoint, url, payment_id, event, happened_at, trick, state, run_at, attempts, result, body FROM deliveries
 WHERE merchant_id = :merchant_id AND endpoint = :endpoint AND state = 'waiting' AND run_at <= :now
 ORDER BY run_at, id LIMIT :most;

-- first_due --
-- When the first delivery to a place is due; nothing where none waits.
SELECT run_at FROM deliveries
 WHERE merchant_id = :merchant_id AND endpoint = :endpoint AND state = 'waiting'
 ORDER BY run_at LIMIT 1;

-- next_place --
-- The first place behind another one to which something waits.
SELECT endpoint FROM deliveries
 WHERE merchant_id = :merchant_id AND endpoint > :after AND state = 'waiting'
 ORDER BY endpoint LIMIT 1;

-- conclude_delivery --
-- What a try came to. None back: the delivery is not as it was when it was tried.
UPDATE deliveries SET state = :state, run_at = :run_at, attempts = :attempts, trick = :trick, result = :result
 WHERE merchant_id = :merchant_id AND id = :id AND state = 'waiting' AND attempts = :seen AND trick = :seen_trick
RETURNING endpoint, payment_id, holds;

-- release_next --
-- The next one of a payment, which was held back.
UPDATE deliveries SET state = 'waiting'
 WHERE merchant_id = :merchant_id
   AND id = (SELECT MIN(d.id) FROM deliveries AS d
              WHERE d.merchant_id = :merchant_id AND d.endpoint = :endpoint AND d.payment_id = :payment_id
                AND d.state IN ('waiting', 'held') AND d.state = 'held');

-- release_stuck --
-- Whatever is held back by nothing any more.
UPDATE deliveries SET state = 'waiting'
 WHERE merchant_id = :merchant_id AND state = 'held'
   AND NOT EXISTS (SELECT 1 FROM deliveries AS d
                    WHERE d.merchant_id = :merchant_id AND d.endpoint = deliveries.endpoint
                      AND d.payment_id = deliveries.payment_id AND d.id < deliveries.id
                      AND d.state IN ('waiting', 'held') AND d.holds = 1);

-- resend_delivery --
-- It is sent again from the beginning, and holds nothing back. None back: there is no such delivery that has ended.
UPDATE deliveries SET state = 'waiting', run_at = :now, attempts = 0, holds = 0, trick = ''
 WHERE merchant_id = :merchant_id AND id = :id AND state IN ('delivered', 'parked')
RETURNING id;

-- delivery --
SELECT id, endpoint, url, payment_id, event, happened_at, trick, state, run_at, attempts, result, body FROM deliveries
 WHERE merchant_id = :merchant_id AND id = :id;

-- deliveries_page --
-- The latest first; an empty text asks for any.
SELECT id, endpoint, url, payment_id, event, happened_at, trick, state, run_at, attempts, result, body FROM deliveries
 WHERE merchant_id = :merchant_id AND id < :before AND id >= :since AND (:state = '' OR state = :state)
   AND (:endpoint = '' OR endpoint = :endpoint)
 ORDER BY id DESC LIMIT :most;

-- purge_deliveries --
DELETE FROM deliveries WHERE merchant_id = :merchant_id AND state = :state AND run_at < :before;
