-- begin_payment --
-- A new payment; its root transaction follows in the same commit.
INSERT INTO payments (merchant_id, id, version, brand, pan_prefix, pan_suffix, expiry, card, fingerprint, expires_at)
VALUES (:merchant_id, :id, 0, :brand, :pan_prefix, :pan_suffix, :expiry, :card, :fingerprint, :expires_at);

-- claim_payment --
-- One row back: the payment stands as the caller loaded it, and is now the caller's to add to. None: somebody was faster.
UPDATE payments
   SET version = version + 1
 WHERE merchant_id = :merchant_id AND id = :id AND version = :version
RETURNING version;

-- begin_transaction --
-- The intent, before any byte goes to an acquirer.
INSERT INTO transactions (merchant_id, id, payment_id, operation, status, currency, requested, approved, hold, target_id,
                          reference, merchant_transaction_id, reason, stan, rrn, flags, facts, payment_option, warnings,
                          particulars, requested_at, lease, correlation)
VALUES (:merchant_id, :id, :payment_id, :operation, 'pending', :currency, :requested, 0, :hold, :target_id,
        :reference, :merchant_transaction_id, NULL, :stan, :rrn, :flags, '{}', :payment_option, :warnings,
        :particulars, :requested_at, :lease, :correlation);

-- conclude_transaction --
-- The outcome, once: no row back means that somebody concluded it before us.
UPDATE transactions
   SET operation = :operation, status = :status, approved = :approved, reason = :reason, flags = :flags, facts = :facts,
       concluded_at = :concluded_at, answer_status = :answer_status, answer = :answer
 WHERE merchant_id = :merchant_id AND id = :id AND status = :expected
RETURNING id;

-- settle_unknown --
-- What a clean-up found out about a transaction; the answer that its caller got stays as it was.
UPDATE transactions
   SET status = :status, approved = :approved, reason = :reason, facts = :facts, concluded_at = :concluded_at
 WHERE merchant_id = :merchant_id AND id = :id AND status IN ('pending', 'unknown')
RETURNING id;

-- give_up_pending --
-- An open exchange whose road is taken over: its own conclusion will find that it came too late.
UPDATE transactions
   SET status = 'unknown', reason = 'timeout', concluded_at = :concluded_at
 WHERE merchant_id = :merchant_id AND id = :id AND status = 'pending'
RETURNING id;

-- post_entry --
INSERT INTO entries (merchant_id, transaction_id, line, account, currency, amount, posted_at)
VALUES (:merchant_id, :transaction_id, :line, :account, :currency, :amount, :posted_at);

-- record_event --
INSERT INTO events (merchant_id, transaction_id, id, kind, detail)
VALUES (:merchant_id, :transaction_id, :id, :kind, :detail);

-- load_payment_of --
-- The payment that a transaction belongs to.
SELECT id, version, brand, pan_prefix, pan_suffix, expiry, expires_at, card
  FROM payments
 WHERE merchant_id = :merchant_id
   AND id = (SELECT payment_id FROM transactions WHERE merchant_id = :merchant_id AND id = :id);

-- find_by_merchants_id --
-- The latest transaction that carried the merchant's own id.
SELECT id, payment_id, requested_at
  FROM transactions
 WHERE merchant_id = :merchant_id AND merchant_transaction_id = :merchant_transaction_id AND operation NOT IN ('reversal', 'void')
 ORDER BY id DESC
 LIMIT 1;

-- load_payment --
SELECT id, version, brand, pan_prefix, pan_suffix, expiry, expires_at, card
  FROM payments
 WHERE merchant_id = :merchant_id AND id = :id;

-- load_transactions --
-- The transactions of a payment, oldest first.
SELECT id, payment_id, operation, status, currency, requested, approved, hold, target_id, reference,
       merchant_transaction_id, reason, stan, rrn, flags, facts, payment_option, warnings, particulars, requested_at,
       concluded_at, settlement_id
  FROM transactions
 WHERE merchant_id = :merchant_id AND id = :payment_id
UNION ALL
SELECT id, payment_id, operation, status, currency, requested, approved, hold, target_id, reference,
       merchant_transaction_id, reason, stan, rrn, flags, facts, payment_option, warnings, particulars, requested_at,
       concluded_at, settlement_id
  FROM transactions
 WHERE merchant_id = :merchant_id AND payment_id = :payment_id AND id <> payment_id
 ORDER BY 1;

-- load_answer --
-- What the merchant was answered.
SELECT operation, status, answer_status, answer FROM transactions WHERE merchant_id = :merchant_id AND id = :id;

-- load_events --
SELECT transaction_id, id, kind, detail
  FROM events
 WHERE merchant_id = :merchant_id AND transaction_id BETWEEN :first AND :last
 ORDER BY id;

-- load_entries --
SELECT transaction_id, line, account, currency, amount, posted_at
  FROM entries
 WHERE merchant_id = :merchant_id AND transaction_id = :transaction_id
 ORDER BY line;

-- claim --
-- One row back: the claim is ours, fresh or lapsed. None: it is taken; read_claim tells by whom.
INSERT INTO claims (merchant_id, key, request, transaction_id)
VALUES (:merchant_id, :key, :request, :transaction_id)
ON CONFLICT (merchant_id, key) DO UPDATE
   SET request = excluded.request, transaction_id = excluded.transaction_id
 WHERE claims.transaction_id < :since
RETURNING transaction_id;

-- forget_claim --
-- A request that was refused before it was executed leaves no claim behind.
DELETE FROM claims WHERE merchant_id = :merchant_id AND key = :key;

-- read_claim --
SELECT c.request, t.status, t.answer_status, t.answer
  FROM claims c JOIN transactions t ON t.merchant_id = c.merchant_id AND t.id = c.transaction_id
 WHERE c.merchant_id = :merchant_id AND c.key = :key AND c.transaction_id >= :since;

-- claims_page --
-- Claims in order of their keys, a page at a time, with the transaction that holds each.
SELECT key, transaction_id FROM claims
 WHERE merchant_id = :merchant_id AND key > :after
 ORDER BY key
 LIMIT :most;

-- purge_claim --
-- A claim that has lapsed for good, unless somebody took it over meanwhile.
DELETE FROM claims WHERE merchant_id = :merchant_id AND key = :key AND transaction_id = :transaction_id;

-- pending_transactions --
-- Intents without an outcome: of a process whose lease has ended, or older than any exchange can be.
SELECT id FROM transactions
 WHERE merchant_id = :merchant_id AND status = 'pending'
   AND (id < :before OR lease <> :lease AND lease NOT IN (SELECT lease FROM nodes))
 ORDER BY id;

-- newest_id --
-- The greatest id that was given out for a merchant.
SELECT MAX(id) FROM (
    SELECT MAX(id) AS id FROM transactions WHERE merchant_id = :merchant_id
    UNION ALL SELECT MAX(id) FROM settlements WHERE merchant_id = :merchant_id
    UNION ALL SELECT MAX(id) FROM jobs WHERE merchant_id = :merchant_id
    UNION ALL SELECT MAX(id) FROM events WHERE merchant_id = :merchant_id
    UNION ALL SELECT MAX(id) FROM answers WHERE merchant_id = :merchant_id
    UNION ALL SELECT MAX(id) FROM kept_answers WHERE merchant_id = :merchant_id
    UNION ALL SELECT MAX(id) FROM plans WHERE merchant_id = :merchant_id
    UNION ALL SELECT MAX(id) FROM subscriptions WHERE merchant_id = :merchant_id
) AS newest;

-- unsettled --
-- Payments with something that a cut may collect, oldest first.
SELECT DISTINCT payment_id FROM transactions
 WHERE merchant_id = :merchant_id AND settlement_id IS NULL AND status = 'approved'
   AND (operation = 'sale' OR operation = 'capture' OR operation = 'refund' OR operation = 'credit')
   AND payment_id > :after AND concluded_at < :cut_at
 ORDER BY payment_id
 LIMIT :most;

-- transmit --
-- A transaction is collected by a batch, once, or by none (0).
UPDATE transactions
   SET settlement_id = :settlement_id
 WHERE merchant_id = :merchant_id AND id = :id AND COALESCE(settlement_id, 0) = 0 AND status = 'approved'
RETURNING id;

-- add_settlement --
INSERT INTO settlements (merchant_id, id, currency, business_date, captured, returned, transactions, cut_at)
VALUES (:merchant_id, :id, :currency, :business_date, :captured, :returned, :transactions, :cut_at);

-- load_settlements --
SELECT id, currency, business_date, captured, returned, transactions, cut_at
  FROM settlements WHERE merchant_id = :merchant_id ORDER BY id;

-- expiring --
-- Payments whose hold lapses by now, a page at a time.
SELECT expires_at, id FROM payments
 WHERE merchant_id = :merchant_id AND expires_at <= :now AND (expires_at, id) > (:after, :after_id)
 ORDER BY expires_at, id
 LIMIT 200;

-- forget_expiry --
UPDATE payments SET expires_at = NULL WHERE merchant_id = :merchant_id AND id = :id;

-- transactions_page --
-- Transactions in order of their ids, a page at a time.
SELECT id, payment_id, operation, status, currency, requested, approved, hold, target_id, reference,
       merchant_transaction_id, reason, stan, rrn, flags, facts, payment_option, warnings, particulars, requested_at,
       concluded_at, settlement_id
  FROM transactions
 WHERE merchant_id = :merchant_id AND id > :after
 ORDER BY id
 LIMIT :most;

-- entries_between --
-- The books of a merchant over a stretch of ids, in order.
SELECT transaction_id, line, account, currency, amount, posted_at
  FROM entries
 WHERE merchant_id = :merchant_id AND transaction_id > :after AND transaction_id <= :last
 ORDER BY transaction_id, line;
