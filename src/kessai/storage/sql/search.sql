-- search_mark --
-- How far a merchant's index has come.
SELECT indexed, swept, holder, until FROM search_marks WHERE merchant_id = :merchant_id;

-- hold_search_mark --
-- One row back: the index is the caller's to write until `until`. None: another process is at it, and lives.
INSERT INTO search_marks (merchant_id, indexed, swept, holder, until)
VALUES (:merchant_id, 0, 0, :holder, :until)
ON CONFLICT (merchant_id) DO UPDATE
   SET holder = excluded.holder, until = excluded.until
 WHERE search_marks.until < :now OR search_marks.holder = excluded.holder
    OR search_marks.holder NOT IN (SELECT lease FROM nodes)
RETURNING indexed;

-- move_search_mark --
-- Marks go forward only: whoever comes late does no harm.
UPDATE search_marks
   SET indexed = CASE WHEN indexed < :indexed THEN :indexed ELSE indexed END,
       swept = CASE WHEN swept < :swept THEN :swept ELSE swept END
 WHERE merchant_id = :merchant_id;

-- to_index --
-- Transactions in order of their ids, with what else they are found by; a page.
SELECT t.id, t.payment_id, t.operation, t.status, t.currency, t.requested, t.approved, t.hold, t.target_id, t.reference,
       t.merchant_transaction_id, t.reason, t.stan, t.rrn, t.flags, t.facts, t.payment_option, t.warnings, t.particulars,
       t.requested_at, t.concluded_at, t.settlement_id,
       p.brand, p.pan_prefix, p.pan_suffix, p.expiry, p.fingerprint, r.particulars
  FROM (SELECT * FROM transactions AS n
         WHERE n.merchant_id = :merchant_id AND n.id > :after AND n.id <= :last ORDER BY n.id LIMIT :most) AS t
  JOIN payments AS p ON p.merchant_id = t.merchant_id AND p.id = t.payment_id
  JOIN transactions AS r ON r.merchant_id = t.merchant_id AND r.id = t.payment_id
 ORDER BY t.id;

-- ids_between --
-- The ids of a page of transactions, each with its place in the index; without one where it is not there.
SELECT t.id, s.id
  FROM (SELECT n.merchant_id, n.id, n.requested_at FROM transactions AS n
         WHERE n.merchant_id = :merchant_id AND n.id > :after AND n.id <= :last ORDER BY n.id LIMIT :most) AS t
  LEFT JOIN search_rows AS s ON s.merchant_id = t.merchant_id AND s.submitted_at = t.requested_at AND s.id = t.id
 ORDER BY t.id;

-- open_in_index --
-- What was indexed before its outcome was known, a page of it, each with its status now.
SELECT s.id, t.status
  FROM (SELECT n.merchant_id, n.id FROM search_rows AS n
         WHERE n.merchant_id = :merchant_id AND n.is_open = 1 AND n.id > :after ORDER BY n.id LIMIT :most) AS s
  JOIN transactions AS t ON t.merchant_id = s.merchant_id AND t.id = s.id
 ORDER BY s.id;

-- found_rows --
-- Transactions by their ids, with what else is shown of them.
SELECT t.id, t.payment_id, t.operation, t.status, t.currency, t.requested, t.approved, t.hold, t.target_id, t.reference,
       t.merchant_transaction_id, t.reason, t.stan, t.rrn, t.flags, t.facts, t.payment_option, t.warnings, t.particulars,
       t.requested_at, t.concluded_at, t.settlement_id,
       p.brand, p.pan_prefix, p.pan_suffix, p.expiry, p.fingerprint, r.particulars
  FROM transactions AS t
  JOIN payments AS p ON p.merchant_id = t.merchant_id AND p.id = t.payment_id
  JOIN transactions AS r ON r.merchant_id = t.merchant_id AND r.id = t.payment_id
 WHERE t.merchant_id = :merchant_id AND t.id IN (SELECT value FROM json_each(:ids));

-- index_row --
-- What a transaction is found by; a row that was written with its outcome stays as it is.
INSERT INTO search_rows (merchant_id, submitted_at, id, is_open, reference, rrn, approval_code, reconciliation_id,
                         fingerprint, email, phone, ship_phone, last_name, first_name, customer_reference, customer_id,
                         ip, solution_id, reseller_id, account_id, installment_id, amount, card_suffix, account_suffix, card_prefix,
                         brand, currency, commerce_indicator)
VALUES (:merchant_id, :submitted_at, :id, :is_open, :reference, :rrn, :approval_code, :reconciliation_id,
        :fingerprint, :email, :phone, :ship_phone, :last_name, :first_name, :customer_reference, :customer_id,
        :ip, :solution_id, :reseller_id, :account_id, :installment_id, :amount, :card_suffix, :account_suffix, :card_prefix,
        :brand, :currency, :commerce_indicator)
ON CONFLICT (merchant_id, submitted_at, id) DO UPDATE
   SET is_open = excluded.is_open, rrn = excluded.rrn, approval_code = excluded.approval_code,
       reconciliation_id = excluded.reconciliation_id
 WHERE search_rows.is_open = 1;

-- index_term --
INSERT INTO search_terms (merchant_id, term, submitted_at, id)
VALUES (:merchant_id, :term, :submitted_at, :id)
ON CONFLICT (merchant_id, term, submitted_at, id) DO NOTHING;

-- keep_search --
INSERT INTO searches (merchant_id, id, is_saved, created_at, request)
VALUES (:merchant_id, :id, :is_saved, :created_at, :request);

-- read_search --
SELECT is_saved, created_at, request FROM searches WHERE merchant_id = :merchant_id AND id = :id;

-- forget_searches --
-- Searches that nobody wanted to keep, older than an instant.
DELETE FROM searches WHERE merchant_id = :merchant_id AND is_saved = 0 AND created_at < :before;
