-- The same index with its operations one by one: SQLite fills a table of its own with the members of a longer IN, each
-- time a row is written.
DROP INDEX transactions_unsettled;

CREATE INDEX transactions_unsettled ON transactions (merchant_id, id)
    WHERE settlement_id IS NULL AND status = 'approved'
          AND (operation = 'sale' OR operation = 'capture' OR operation = 'refund' OR operation = 'credit');
