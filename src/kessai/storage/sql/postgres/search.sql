-- hold_search_mark --
-- One row back: the index is the caller's to write until `until`. None: another process is at it, and lives.
INSERT INTO search_marks (merchant_id, indexed, swept, holder, until)
VALUES (:merchant_id, 0, 0, :holder, :until)
ON CONFLICT (merchant_id) DO UPDATE
   SET holder = excluded.holder, until = excluded.until
 WHERE search_marks.until < :now OR search_marks.holder = excluded.holder
    OR search_marks.holder NOT IN (SELECT lease FROM nodes WHERE until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
RETURNING indexed;

-- found_rows --
-- Transactions by their ids, with what else is shown of them.
SELECT t.id, t.payment_id, t.operation, t.status, t.currency, t.requested, t.approved, t.hold, t.target_id, t.reference,
       t.merchant_transaction_id, t.reason, t.stan, t.rrn, t.flags, t.facts, t.payment_option, t.warnings, t.particulars,
       t.requested_at, t.concluded_at, t.settlement_id,
       p.brand, p.pan_prefix, p.pan_suffix, p.expiry, p.fingerprint, r.particulars
  FROM unnest(:ids::bigint[]) AS w (id)
 CROSS JOIN LATERAL (SELECT * FROM transactions AS o WHERE o.merchant_id = :merchant_id AND o.id = w.id OFFSET 0) AS t
  JOIN payments AS p ON p.merchant_id = t.merchant_id AND p.id = t.payment_id
  JOIN transactions AS r ON r.merchant_id = t.merchant_id AND r.id = t.payment_id
 WHERE p.merchant_id = :merchant_id AND r.merchant_id = :merchant_id;

-- index --
-- What many transactions are found by, and how far the index has come with them. A row that was written with its
-- outcome stays as it is. Marks go forward only.
WITH indexed AS (
    INSERT INTO search_rows (merchant_id, submitted_at, id, is_open, amount, reference, rrn, approval_code,
                             reconciliation_id, fingerprint, email, phone, ship_phone, last_name, first_name,
                             customer_reference, customer_id, ip, solution_id, reseller_id, account_id, installment_id,
                             card_suffix, account_suffix, card_prefix, brand, currency, commerce_indicator)
    SELECT :merchant_id, f.*
      FROM unnest(:submitted_at::bigint[], :id::bigint[], :is_open::integer[], :amount::bigint[], :reference::text[],
                  :rrn::text[], :approval_code::text[], :reconciliation_id::text[], :fingerprint::text[],
                  :email::text[], :phone::text[], :ship_phone::text[], :last_name::text[], :first_name::text[],
                  :customer_reference::text[], :customer_id::text[], :ip::text[], :solution_id::text[],
                  :reseller_id::text[], :account_id::text[], :installment_id::text[], :card_suffix::text[], :account_suffix::text[],
                  :card_prefix::text[], :brand::text[], :currency::text[], :commerce_indicator::text[]) AS f
    ON CONFLICT (merchant_id, submitted_at, id) DO UPDATE
       SET is_open = excluded.is_open, rrn = excluded.rrn, approval_code = excluded.approval_code,
           reconciliation_id = excluded.reconciliation_id
     WHERE search_rows.is_open = 1
), termed AS (
    INSERT INTO search_terms (merchant_id, term, submitted_at, id)
    SELECT :merchant_id, f.term, f.submitted_at, f.id
      FROM unnest(:term::text[], :term_submitted_at::bigint[], :term_id::bigint[]) AS f (term, submitted_at, id)
    ON CONFLICT (merchant_id, term, submitted_at, id) DO NOTHING
)
UPDATE search_marks
   SET indexed = GREATEST(indexed, :indexed), swept = GREATEST(swept, :swept)
 WHERE merchant_id = :merchant_id
RETURNING indexed;
