-- add_webhook --
WITH added AS (
    INSERT INTO webhooks (merchant_id, id, version, kind, status, document, created_at, updated_at)
    VALUES (:merchant_id, :id, 0, :kind, :status, :document, :now, :now)
    ON CONFLICT (merchant_id, id) DO NOTHING
    RETURNING id
), counted AS (
    INSERT INTO changes (id, version) SELECT 1, 1 FROM added
    ON CONFLICT (id) DO UPDATE SET version = changes.version + 1
)
SELECT id FROM added;

-- change_webhook --
-- None back: somebody changed it meanwhile, or it is gone.
WITH changed AS (
    UPDATE webhooks SET version = version + 1, status = :status, document = :document, updated_at = :now
     WHERE merchant_id = :merchant_id AND id = :id AND version = :version
    RETURNING id
), counted AS (
    INSERT INTO changes (id, version) SELECT 1, 1 FROM changed
    ON CONFLICT (id) DO UPDATE SET version = changes.version + 1
)
SELECT id FROM changed;

-- delete_webhook --
-- With what is still on its way to it.
WITH deleted AS (
    DELETE FROM webhooks WHERE merchant_id = :merchant_id AND id = :id RETURNING id
), dropped AS (
    DELETE FROM deliveries AS d USING deleted AS w
     WHERE d.merchant_id = :merchant_id AND d.endpoint = w.id AND d.state IN ('waiting', 'held')
), counted AS (
    INSERT INTO changes (id, version) SELECT 1, 1 FROM deleted
    ON CONFLICT (id) DO UPDATE SET version = changes.version + 1
)
SELECT id FROM deleted;

-- add_webhook_key --
-- The key that signs from now on, in the place of those before it.
WITH replaced AS (
    UPDATE webhook_keys SET replaced_at = :now
     WHERE merchant_id = :merchant_id AND wire = :wire AND replaced_at IS NULL
), counted AS (
    INSERT INTO changes (id, version) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET version = changes.version + 1
)
INSERT INTO webhook_keys (merchant_id, id, wire, sealed, created_at, expires_at)
VALUES (:merchant_id, :id, :wire, :sealed, :now, :expires_at)
RETURNING id;

-- hold_deliveries --
-- One row back: the merchant's deliveries are the caller's until `until`. None: another process is at them, and lives.
INSERT INTO delivery_marks (merchant_id, holder, until)
VALUES (:merchant_id, :holder, :until)
ON CONFLICT (merchant_id) DO UPDATE
   SET holder = excluded.holder, until = excluded.until
 WHERE delivery_marks.until < :now OR delivery_marks.holder = excluded.holder
    OR delivery_marks.holder NOT IN (SELECT lease FROM nodes WHERE until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
RETURNING holder;

-- noticed_payments --
-- What notices are about: transactions with their answers and payments. `OFFSET 0` keeps the order of the joins: tables
-- without statistics seem empty, and then any order is as good.
SELECT t.id, t.answer_status, t.answer, p.id, p.version, p.brand, p.pan_prefix, p.pan_suffix, p.expiry, p.expires_at, p.card
  FROM jobs AS j
 CROSS JOIN LATERAL (SELECT * FROM transactions AS i
                      WHERE i.merchant_id = :merchant_id AND i.id = j.transaction_id OFFSET 0) AS t
 CROSS JOIN LATERAL (SELECT * FROM payments AS i
                      WHERE i.merchant_id = :merchant_id AND i.id = t.payment_id OFFSET 0) AS p
 WHERE j.merchant_id = :merchant_id AND j.id BETWEEN :first AND :last AND j.kind >= 'notice' AND j.kind < 'noticf';

-- noticed_transactions --
-- All transactions of those payments, oldest first.
SELECT o.id, o.payment_id, o.operation, o.status, o.currency, o.requested, o.approved, o.hold, o.target_id, o.reference,
       o.merchant_transaction_id, o.reason, o.stan, o.rrn, o.flags, o.facts, o.payment_option, o.warnings,
       o.particulars, o.requested_at, o.concluded_at, o.settlement_id
  FROM jobs AS j
 CROSS JOIN LATERAL (SELECT * FROM transactions AS i
                      WHERE i.merchant_id = :merchant_id AND i.id = j.transaction_id OFFSET 0) AS t
 CROSS JOIN LATERAL (SELECT * FROM transactions AS i
                      WHERE i.merchant_id = :merchant_id AND i.id = t.payment_id OFFSET 0) AS o
 WHERE j.merchant_id = :merchant_id AND j.id BETWEEN :first AND :last AND j.kind >= 'notice' AND j.kind < 'noticf'
UNION ALL
SELECT o.id, o.payment_id, o.operation, o.status, o.currency, o.requested, o.approved, o.hold, o.target_id, o.reference,
       o.merchant_transaction_id, o.reason, o.stan, o.rrn, o.flags, o.facts, o.payment_option, o.warnings,
       o.particulars, o.requested_at, o.concluded_at, o.settlement_id
  FROM jobs AS j
 CROSS JOIN LATERAL (SELECT * FROM transactions AS i
                      WHERE i.merchant_id = :merchant_id AND i.id = j.transaction_id OFFSET 0) AS t
 CROSS JOIN LATERAL (SELECT * FROM transactions AS i
                      WHERE i.merchant_id = :merchant_id AND i.payment_id = t.payment_id AND i.id <> i.payment_id
                     OFFSET 0) AS o
 WHERE j.merchant_id = :merchant_id AND j.id BETWEEN :first AND :last AND j.kind >= 'notice' AND j.kind < 'noticf'
 ORDER BY 1;

-- tell --
-- Outcomes become deliveries: whoever takes a notice writes what comes of it. Held back are those behind an earlier one
-- of the same payment that is on its way to the same place, or that is written with them. No `EXISTS` for the former:
-- that may be answered by reading whatever waits, once.
WITH taken AS (
    DELETE FROM jobs WHERE merchant_id = :merchant_id AND id = ANY(:notice::bigint[]) RETURNING id
), wanted AS (
    SELECT *
      FROM unnest(:owner::bigint[], :id::bigint[], :endpoint::text[], :url::text[], :payment_id::bigint[],
                  :event::text[], :happened_at::bigint[], :trick::text[], :holds::integer[], :run_at::bigint[],
                  :body::bytea[])
               AS w (owner, id, endpoint, url, payment_id, event, happened_at, trick, holds, run_at, body)
     WHERE w.owner IS NULL OR w.owner IN (SELECT t.id FROM taken AS t)
), added AS (
    INSERT INTO deliveries (merchant_id, id, endpoint, url, payment_id, event, happened_at, trick, holds, state, run_at,
                            attempts, result, body)
    SELECT :merchant_id, w.id, w.endpoint, w.url, w.payment_id, w.event, w.happened_at, w.trick, w.holds,
           CASE WHEN w.holds = 1
                 AND ((SELECT d.id FROM deliveries AS d
                        WHERE d.merchant_id = :merchant_id AND d.endpoint = w.endpoint AND d.payment_id = w.payment_id
                          AND d.state IN ('waiting', 'held') AND d.holds = 1 LIMIT 1) IS NOT NULL
                      OR EXISTS (SELECT 1 FROM wanted AS e
                                  WHERE e.endpoint = w.endpoint AND e.payment_id = w.payment_id AND e.holds = 1
                                    AND e.id < w.id))
                THEN 'held' ELSE 'waiting' END,
           w.run_at, 0, '', w.body
      FROM wanted AS w
    RETURNING id
)
SELECT count(*) FROM added;

-- conclude --
-- What tries came to, of deliveries that are as they were when they were tried; what a payment's next one waited for is
-- out of its way. The planner may think of the table as empty, as it was when it was asked first, and its plan is kept.
-- So the merchant comes out of what is materialized, by which rows can only be found one by one, by their keys;
-- `COALESCE` keeps it off the index of what waits, and `+ 0` off a walk by id.
WITH tried AS MATERIALIZED (
    SELECT :merchant_id::text AS merchant_id, u.*
      FROM unnest(:id::bigint[], :state::text[], :run_at::bigint[], :attempts::integer[], :trick::text[],
                  :result::text[], :seen::integer[], :seen_trick::text[])
               AS u (id, state, run_at, attempts, trick, result, seen, seen_trick)
), concluded AS (
    UPDATE deliveries AS d
       SET state = t.state, run_at = t.run_at, attempts = t.attempts, trick = t.trick, result = t.result
      FROM tried AS t
     WHERE d.merchant_id = t.merchant_id AND d.id = t.id AND COALESCE(d.state, '') = 'waiting' AND d.attempts = t.seen
       AND d.trick = t.seen_trick
    RETURNING d.merchant_id, d.id, d.endpoint, d.payment_id, d.holds, d.state
), freed AS MATERIALIZED (
    SELECT c.merchant_id,
           (SELECT MIN(h.id + 0) FROM deliveries AS h
             WHERE h.merchant_id = :merchant_id AND h.endpoint = c.endpoint AND h.payment_id = c.payment_id
               AND h.state IN ('waiting', 'held') AND h.state = 'held') AS id
      FROM concluded AS c WHERE c.holds = 1 AND c.state IN ('delivered', 'parked')
), released AS (
    UPDATE deliveries AS n SET state = 'waiting'
      FROM freed AS f
     WHERE n.merchant_id = f.merchant_id AND n.id = f.id
)
SELECT id FROM concluded;
