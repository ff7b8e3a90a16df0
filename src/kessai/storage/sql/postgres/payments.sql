-- begin --
-- Commit 1 of many at once. A write whose claim is taken, or whose payment has changed, begins nothing; the others go by
-- the rows that their own claiming gave back. Rows: an id that was begun, or the id and key of a claim that is taken. An
-- insert of claims that misses after all lost a race that this snapshot did not show: the division undoes everything.
-- An open transaction is made as long as it will be with its outcome: a shorter one fits into what is left over in pages
-- of old ones, and for each payment such a page would be read, and logged as a whole. Facts and answer of an
-- authorization take 340 bytes.
WITH intents AS (
    SELECT *
      FROM unnest(
               :merchant_id::text[], :id::bigint[], :payment_id::bigint[], :version::bigint[], :operation::text[],
               :currency::text[], :requested::bigint[], :hold::bigint[], :target_id::bigint[], :reference::text[],
               :merchant_transaction_id::text[], :stan::text[], :rrn::text[], :flags::text[], :payment_option::text[],
               :warnings::text[], :particulars::bytea[], :requested_at::bigint[], :lease::bigint[], :correlation::text[],
               :brand::text[], :pan_prefix::text[], :pan_suffix::text[], :expiry::text[], :card::bytea[],
               :fingerprint::bytea[], :expires_at::bigint[], :job_id::bigint[], :job_kind::text[],
               :job_transaction_id::bigint[], :job_run_at::bigint[]
           ) AS intents (
               merchant_id, id, payment_id, version, operation,
               currency, requested, hold, target_id, reference,
               merchant_transaction_id, stan, rrn, flags, payment_option,
               warnings, particulars, requested_at, lease, correlation,
               brand, pan_prefix, pan_suffix, expiry, card,
               fingerprint, expires_at, job_id, job_kind,
               job_transaction_id, job_run_at
           )
), wanted AS (
    SELECT *
      FROM unnest(:claim_merchant_id::text[], :claim_key::bytea[], :claim_request::bytea[], :claim_since::bigint[],
                  :claim_id::bigint[]) AS wanted (merchant_id, key, request, since, id)
), taken AS (
    SELECT w.id, w.key
      FROM wanted AS w JOIN claims AS c ON c.merchant_id = w.merchant_id AND c.key = w.key
     WHERE c.transaction_id >= w.since
), free AS (
    SELECT * FROM intents WHERE id NOT IN (SELECT id FROM taken)
), opened AS (
    INSERT INTO payments (merchant_id, id, version, brand, pan_prefix, pan_suffix, expiry, card, fingerprint, expires_at)
    SELECT merchant_id, id, 0, brand, pan_prefix, pan_suffix, expiry, card, fingerprint, expires_at
      FROM free WHERE payment_id = id
), standing AS (
    UPDATE payments AS p
       SET version = p.version + 1
      FROM free AS f
     WHERE f.payment_id <> f.id AND p.merchant_id = f.merchant_id AND p.id = f.payment_id AND p.version = f.version
    RETURNING f.*
), given_up AS (
    UPDATE transactions AS t
       SET status = 'unknown', reason = 'timeout', concluded_at = s.requested_at
      FROM standing AS s
     WHERE t.merchant_id = s.merchant_id AND t.id = s.job_transaction_id AND t.status = 'pending'
    RETURNING s.*
), begun AS (
    SELECT * FROM free WHERE payment_id = id
    UNION ALL SELECT * FROM standing WHERE job_id IS NULL
    UNION ALL SELECT * FROM given_up
), queued AS (
    INSERT INTO jobs (merchant_id, id, kind, transaction_id, state, run_at, attempts)
    SELECT merchant_id, job_id, job_kind, job_transaction_id, 'waiting', job_run_at, 0 FROM given_up
), written AS (
    INSERT INTO transactions (merchant_id, id, payment_id, operation, status, currency, requested, approved, hold,
                              target_id, reference, merchant_transaction_id, reason, stan, rrn, flags, facts,
                              payment_option, warnings, particulars, requested_at, lease, correlation)
    SELECT merchant_id, id, payment_id, operation, 'pending', currency, requested, 0, hold,
           target_id, reference, merchant_transaction_id, NULL, stan, rrn, flags, '{}' || repeat(' ', 340),
           payment_option, warnings, particulars, requested_at, lease, correlation
      FROM begun
), asked AS (
    SELECT * FROM wanted WHERE id = ANY (ARRAY(SELECT id FROM begun))
), claimed AS (
    INSERT INTO claims (merchant_id, key, request, transaction_id)
    SELECT merchant_id, key, request, id FROM asked ORDER BY merchant_id, key
    ON CONFLICT (merchant_id, key) DO UPDATE
       SET request = excluded.request, transaction_id = excluded.transaction_id
     WHERE claims.transaction_id < (SELECT w.since FROM wanted AS w
                                     WHERE w.merchant_id = claims.merchant_id AND w.key = claims.key)
    RETURNING key
)
SELECT id, NULL::bytea AS key,
       1 / (CASE WHEN (SELECT count(*) FROM asked) = (SELECT count(*) FROM claimed) THEN 1 ELSE 0 END)
  FROM begun
 UNION ALL
SELECT id, key, 1 FROM taken;

-- begin_new --
-- The same of payments that are new: nothing but a claim can be in their way, or a token that they relied on as it was.
WITH intents AS (
    SELECT *
      FROM unnest(
               :merchant_id::text[], :id::bigint[], :operation::text[], :currency::text[], :requested::bigint[],
               :hold::bigint[], :target_id::bigint[], :reference::text[], :merchant_transaction_id::text[],
               :stan::text[], :rrn::text[], :flags::text[], :payment_option::text[], :warnings::text[],
               :particulars::bytea[], :requested_at::bigint[], :lease::bigint[], :correlation::text[],
               :brand::text[], :pan_prefix::text[], :pan_suffix::text[], :expiry::text[], :card::bytea[],
               :fingerprint::bytea[], :expires_at::bigint[]
           ) AS intents (
               merchant_id, id, operation, currency, requested,
               hold, target_id, reference, merchant_transaction_id,
               stan, rrn, flags, payment_option, warnings,
               particulars, requested_at, lease, correlation,
               brand, pan_prefix, pan_suffix, expiry, card,
               fingerprint, expires_at
           )
), wanted AS (
    SELECT *
      FROM unnest(:claim_merchant_id::text[], :claim_key::bytea[], :claim_request::bytea[], :claim_since::bigint[],
                  :claim_id::bigint[]) AS wanted (merchant_id, key, request, since, id)
), taken AS (
    SELECT w.id, w.key
      FROM wanted AS w JOIN claims AS c ON c.merchant_id = w.merchant_id AND c.key = w.key
     WHERE c.transaction_id >= w.since
), changed AS (
    SELECT r.payment_id
      FROM unnest(:token_merchant_id::text[], :token_payment_id::bigint[], :token_id::text[], :token_revision::bigint[])
               AS r (merchant_id, payment_id, id, revision)
     WHERE (SELECT t.revision FROM tokens AS t
             WHERE t.merchant_id = r.merchant_id AND t.id = r.id) IS DISTINCT FROM r.revision
     UNION ALL
    SELECT o.payment_id
      FROM unnest(:owner_merchant_id::text[], :owner_payment_id::bigint[], :owner_id::text[],
                  :owner_defaults::bigint[]) AS o (merchant_id, payment_id, id, defaults)
     WHERE (SELECT count(*) FROM tokens AS t
             WHERE t.merchant_id = o.merchant_id AND t.customer = o.id AND t.deleted_at IS NULL
               AND t.is_default = 1) <> o.defaults
), free AS (
    SELECT * FROM intents WHERE id NOT IN (SELECT id FROM taken UNION ALL SELECT payment_id FROM changed)
), opened AS (
    INSERT INTO payments (merchant_id, id, version, brand, pan_prefix, pan_suffix, expiry, card, fingerprint, expires_at)
    SELECT merchant_id, id, 0, brand, pan_prefix, pan_suffix, expiry, card, fingerprint, expires_at FROM free
), begun AS (
    INSERT INTO transactions (merchant_id, id, payment_id, operation, status, currency, requested, approved, hold,
                              target_id, reference, merchant_transaction_id, reason, stan, rrn, flags, facts,
                              payment_option, warnings, particulars, requested_at, lease, correlation)
    SELECT merchant_id, id, id, operation, 'pending', currency, requested, 0, hold,
           target_id, reference, merchant_transaction_id, NULL, stan, rrn, flags, '{}' || repeat(' ', 340),
           payment_option, warnings, particulars, requested_at, lease, correlation
      FROM free
    RETURNING id
), asked AS (
    SELECT * FROM wanted WHERE id IN (SELECT id FROM free)
), claimed AS (
    INSERT INTO claims (merchant_id, key, request, transaction_id)
    SELECT merchant_id, key, request, id FROM asked ORDER BY merchant_id, key
    ON CONFLICT (merchant_id, key) DO UPDATE
       SET request = excluded.request, transaction_id = excluded.transaction_id
     WHERE claims.transaction_id < (SELECT w.since FROM wanted AS w
                                     WHERE w.merchant_id = claims.merchant_id AND w.key = claims.key)
    RETURNING key
)
SELECT id, NULL::bytea AS key,
       1 / (CASE WHEN (SELECT count(*) FROM asked) = (SELECT count(*) FROM claimed) THEN 1 ELSE 0 END)
  FROM begun
 UNION ALL
SELECT id, key, 1 FROM taken;

-- begin_free --
-- The same of payments that claim nothing either.
WITH intents AS (
    SELECT *
      FROM unnest(
               :merchant_id::text[], :id::bigint[], :operation::text[], :currency::text[], :requested::bigint[],
               :hold::bigint[], :target_id::bigint[], :reference::text[], :merchant_transaction_id::text[],
               :stan::text[], :rrn::text[], :flags::text[], :payment_option::text[], :warnings::text[],
               :particulars::bytea[], :requested_at::bigint[], :lease::bigint[], :correlation::text[],
               :brand::text[], :pan_prefix::text[], :pan_suffix::text[], :expiry::text[], :card::bytea[],
               :fingerprint::bytea[], :expires_at::bigint[]
           ) AS intents (
               merchant_id, id, operation, currency, requested,
               hold, target_id, reference, merchant_transaction_id,
               stan, rrn, flags, payment_option, warnings,
               particulars, requested_at, lease, correlation,
               brand, pan_prefix, pan_suffix, expiry, card,
               fingerprint, expires_at
           )
), changed AS (
    SELECT r.payment_id
      FROM unnest(:token_merchant_id::text[], :token_payment_id::bigint[], :token_id::text[], :token_revision::bigint[])
               AS r (merchant_id, payment_id, id, revision)
     WHERE (SELECT t.revision FROM tokens AS t
             WHERE t.merchant_id = r.merchant_id AND t.id = r.id) IS DISTINCT FROM r.revision
     UNION ALL
    SELECT o.payment_id
      FROM unnest(:owner_merchant_id::text[], :owner_payment_id::bigint[], :owner_id::text[],
                  :owner_defaults::bigint[]) AS o (merchant_id, payment_id, id, defaults)
     WHERE (SELECT count(*) FROM tokens AS t
             WHERE t.merchant_id = o.merchant_id AND t.customer = o.id AND t.deleted_at IS NULL
               AND t.is_default = 1) <> o.defaults
), free AS (
    SELECT * FROM intents WHERE id NOT IN (SELECT payment_id FROM changed)
), opened AS (
    INSERT INTO payments (merchant_id, id, version, brand, pan_prefix, pan_suffix, expiry, card, fingerprint, expires_at)
    SELECT merchant_id, id, 0, brand, pan_prefix, pan_suffix, expiry, card, fingerprint, expires_at FROM free
)
INSERT INTO transactions (merchant_id, id, payment_id, operation, status, currency, requested, approved, hold,
                          target_id, reference, merchant_transaction_id, reason, stan, rrn, flags, facts,
                          payment_option, warnings, particulars, requested_at, lease, correlation)
SELECT merchant_id, id, id, operation, 'pending', currency, requested, 0, hold,
       target_id, reference, merchant_transaction_id, NULL, stan, rrn, flags, '{}' || repeat(' ', 340),
       payment_option, warnings, particulars, requested_at, lease, correlation
  FROM free
RETURNING id, NULL::bytea AS key;

-- finish --
-- Commit 2 of many at once: the ids that were concluded. What is not there was concluded by somebody else before us.
-- The status is compared in a way that no index knows: the planner would take that of the open ones for the shortest
-- way, and read all of it for each outcome. Nor are entries joined: an array is looked through more quickly than rows.
WITH outcomes AS (
    SELECT *
      FROM unnest(
               :merchant_id::text[], :id::bigint[], :operation::text[], :status::text[], :approved::bigint[],
               :reason::text[], :flags::text[], :facts::text[], :concluded_at::bigint[], :answer_status::integer[],
               :answer::bytea[]
           ) AS outcomes (merchant_id, id, operation, status, approved, reason, flags, facts, concluded_at,
                          answer_status, answer)
), concluded AS (
    UPDATE transactions AS t
       SET operation = o.operation, status = o.status, approved = o.approved, reason = o.reason, flags = o.flags,
           facts = o.facts, concluded_at = o.concluded_at, answer_status = o.answer_status, answer = o.answer
      FROM outcomes AS o
     WHERE t.merchant_id = o.merchant_id AND t.id = o.id AND t.status || '' = 'pending'
    RETURNING t.merchant_id, t.id
), posted AS (
    INSERT INTO entries (merchant_id, transaction_id, line, account, currency, amount, posted_at)
    SELECT e.merchant_id, e.id, e.line, e.account, e.currency, e.amount, e.posted_at
      FROM unnest(:entry_merchant_id::text[], :entry_id::bigint[], :line::integer[], :account::text[],
                  :entry_currency::text[], :amount::bigint[], :posted_at::bigint[])
               AS e (merchant_id, id, line, account, currency, amount, posted_at)
     WHERE e.id = ANY (ARRAY(SELECT id FROM concluded))
), queued AS (
    INSERT INTO jobs (merchant_id, id, kind, transaction_id, state, run_at, attempts)
    SELECT c.merchant_id, j.id, j.kind, j.transaction_id, 'waiting', j.run_at, 0
      FROM concluded AS c
      JOIN unnest(:job_owner::bigint[], :job_id::bigint[], :job_kind::text[], :job_transaction_id::bigint[],
                  :job_run_at::bigint[]) AS j (owner, id, kind, transaction_id, run_at)
        ON j.owner = c.id
)
SELECT id FROM concluded;

-- record --
-- Intent and outcome in one commit, on a payment that stands as it was loaded: its id; none where it does not.
WITH standing AS (
    UPDATE payments SET version = version + 1
     WHERE merchant_id = :merchant_id AND id = :payment_id AND version = :version
    RETURNING merchant_id, id
), written AS (
    INSERT INTO transactions (merchant_id, id, payment_id, operation, status, currency, requested, approved, hold,
                              target_id, reference, merchant_transaction_id, reason, stan, rrn, flags, facts,
                              payment_option, warnings, particulars, requested_at, concluded_at, lease, correlation,
                              answer_status, answer)
    SELECT s.merchant_id, :id, s.id, :operation, :status, :currency, :requested, :approved, :hold,
           :target_id, :reference, :merchant_transaction_id, :reason, :stan, :rrn, :flags, :facts,
           :payment_option, :warnings, :particulars, :requested_at, :concluded_at, :lease, :correlation,
           :answer_status, :answer
      FROM standing AS s
), posted AS (
    INSERT INTO entries (merchant_id, transaction_id, line, account, currency, amount, posted_at)
    SELECT s.merchant_id, e.id, e.line, e.account, e.currency, e.amount, e.posted_at
      FROM standing AS s,
           unnest(:entry_id::bigint[], :line::integer[], :account::text[], :entry_currency::text[], :amount::bigint[],
                  :posted_at::bigint[]) AS e (id, line, account, currency, amount, posted_at)
), queued AS (
    INSERT INTO jobs (merchant_id, id, kind, transaction_id, state, run_at, attempts)
    SELECT s.merchant_id, j.id, j.kind, j.transaction_id, 'waiting', j.run_at, 0
      FROM standing AS s,
           unnest(:job_id::bigint[], :job_kind::text[], :job_transaction_id::bigint[], :job_run_at::bigint[])
               AS j (id, kind, transaction_id, run_at)
)
SELECT id FROM standing;

-- replay --
-- What the holders of claims were told. Locks what it reads, so that its commit waits for whatever a commit waits for.
SELECT w.place, c.request, t.status, t.answer_status, t.answer
  FROM unnest(:merchant_id::text[], :key::bytea[], :since::bigint[], :place::bigint[]) AS w (merchant_id, key, since, place)
  JOIN claims AS c ON c.merchant_id = w.merchant_id AND c.key = w.key
  JOIN transactions AS t ON t.merchant_id = c.merchant_id AND t.id = c.transaction_id
 WHERE c.transaction_id >= w.since
 ORDER BY c.merchant_id, c.key
   FOR UPDATE OF c, t;

-- settle --
-- What a clean-up found out, where the payment stands as it was loaded: its id; none where it does not.
WITH standing AS (
    UPDATE payments SET version = version + 1
     WHERE merchant_id = :merchant_id AND id = :payment_id AND version = :version
    RETURNING merchant_id, id
), settled AS (
    UPDATE transactions AS t
       SET status = :status, approved = :approved, reason = :reason, facts = :facts, concluded_at = :concluded_at
      FROM standing AS s
     WHERE t.merchant_id = :merchant_id AND t.merchant_id = s.merchant_id AND t.id = :id
       AND t.status IN ('pending', 'unknown')
    RETURNING t.merchant_id, t.id
), posted AS (
    INSERT INTO entries (merchant_id, transaction_id, line, account, currency, amount, posted_at)
    SELECT s.merchant_id, e.id, e.line, e.account, e.currency, e.amount, e.posted_at
      FROM settled AS s,
           unnest(:entry_id::bigint[], :line::integer[], :account::text[], :entry_currency::text[], :amount::bigint[],
                  :posted_at::bigint[]) AS e (id, line, account, currency, amount, posted_at)
), queued AS (
    INSERT INTO jobs (merchant_id, id, kind, transaction_id, state, run_at, attempts)
    SELECT s.merchant_id, j.id, j.kind, j.transaction_id, 'waiting', j.run_at, 0
      FROM settled AS s,
           unnest(:job_id::bigint[], :job_kind::text[], :job_transaction_id::bigint[], :job_run_at::bigint[])
               AS j (id, kind, transaction_id, run_at)
)
SELECT id FROM standing;

-- give_up --
-- An intent that nobody will conclude, with its clean-up: its id; none where somebody did.
WITH given_up AS (
    UPDATE transactions SET status = 'unknown', reason = 'timeout', concluded_at = :concluded_at
     WHERE merchant_id = :merchant_id AND id = :id AND status = 'pending'
    RETURNING merchant_id, id
), queued AS (
    INSERT INTO jobs (merchant_id, id, kind, transaction_id, state, run_at, attempts)
    SELECT g.merchant_id, j.id, j.kind, j.transaction_id, 'waiting', j.run_at, 0
      FROM given_up AS g,
           unnest(:job_id::bigint[], :job_kind::text[], :job_transaction_id::bigint[], :job_run_at::bigint[])
               AS j (id, kind, transaction_id, run_at)
)
SELECT id FROM given_up;

-- remember --
-- An event, with the work that follows from it.
WITH queued AS (
    INSERT INTO jobs (merchant_id, id, kind, transaction_id, state, run_at, attempts)
    SELECT :merchant_id, j.id, j.kind, j.transaction_id, 'waiting', j.run_at, 0
      FROM unnest(:job_id::bigint[], :job_kind::text[], :job_transaction_id::bigint[], :job_run_at::bigint[])
               AS j (id, kind, transaction_id, run_at)
)
INSERT INTO events (merchant_id, transaction_id, id, kind, detail)
VALUES (:merchant_id, :transaction_id, :id, :kind, :detail);

-- collect --
-- Transactions go into settlements, or for good into none (0), all of them or nothing: a payment that does not stand, or
-- a transaction that is collected already, makes the division undo everything.
WITH standing AS (
    UPDATE payments SET version = version + 1
     WHERE merchant_id = :merchant_id AND id = ANY (:payment_id::bigint[])
       AND version = (:version::bigint[])[array_position(:payment_id::bigint[], id)]
    RETURNING id
), collected AS (
    UPDATE transactions SET settlement_id = (:settlement_id::bigint[])[array_position(:transaction_id::bigint[], id)]
     WHERE merchant_id = :merchant_id AND id = ANY (:transaction_id::bigint[])
       AND COALESCE(settlement_id, 0) = 0 AND status = 'approved'
    RETURNING id
), cut AS (
    INSERT INTO settlements (merchant_id, id, currency, business_date, captured, returned, transactions, cut_at)
    SELECT :merchant_id, s.id, s.currency, s.business_date, s.captured, s.returned, s.transactions, :cut_at
      FROM unnest(:id::bigint[], :currency::text[], :business_date::text[], :captured::bigint[], :returned::bigint[],
                  :transactions::integer[]) AS s (id, currency, business_date, captured, returned, transactions)
), posted AS (
    INSERT INTO entries (merchant_id, transaction_id, line, account, currency, amount, posted_at)
    SELECT :merchant_id, e.id, e.line, e.account, e.currency, e.amount, e.posted_at
      FROM unnest(:entry_id::bigint[], :line::integer[], :account::text[], :entry_currency::text[], :amount::bigint[],
                  :posted_at::bigint[]) AS e (id, line, account, currency, amount, posted_at)
)
SELECT 1 / (CASE WHEN (SELECT count(*) FROM standing) = cardinality(:payment_id::bigint[])
                  AND (SELECT count(*) FROM collected) = cardinality(:transaction_id::bigint[]) THEN 1 ELSE 0 END);

-- pending_transactions --
-- Intents without an outcome: of a process whose lease has ended, or older than any exchange can be.
SELECT id FROM transactions
 WHERE merchant_id = :merchant_id AND status = 'pending'
   AND (id < :before
        OR lease <> :lease
           AND lease NOT IN (SELECT lease FROM nodes WHERE until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint))
 ORDER BY id;

-- purge_claims --
-- Claims that have lapsed for good, unless somebody took them over meanwhile.
DELETE FROM claims AS c
 USING unnest(:key::bytea[], :transaction_id::bigint[]) AS lapsed (key, transaction_id)
 WHERE c.merchant_id = :merchant_id AND c.key = lapsed.key AND c.transaction_id = lapsed.transaction_id;
