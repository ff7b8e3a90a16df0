-- write_tokens --
-- New tokens, changed ones, claims and the answer that they get, all of it or nothing: a token that is not as it was
-- loaded, an id or number that is taken, makes the division undo everything. Rows: the key of each claim that is taken,
-- for which nothing was done; else one row without a key.
WITH wanted AS (
    SELECT * FROM unnest(:claim_key::bytea[], :claim_request::bytea[], :claim_since::bigint[])
                  AS wanted (key, request, since)
), taken AS (
    SELECT w.key
      FROM wanted AS w JOIN claims AS c ON c.merchant_id = :merchant_id AND c.key = w.key
     WHERE c.transaction_id >= w.since
), changed AS (
    UPDATE tokens AS t
       SET version = w.version, revision = t.revision + 1, state = w.state, document = w.document,
           deleted_at = w.deleted_at, is_default = w.is_default, instrument = w.instrument, expiry = w.expiry,
           fingerprint = w.fingerprint, sealed = w.sealed
      FROM unnest(:token_id::text[], :token_version::bigint[], :token_revision::bigint[], :token_state::text[],
                  :token_document::bytea[], :token_deleted_at::bigint[], :token_is_default::integer[],
                  :token_instrument::text[], :token_expiry::text[], :token_fingerprint::bytea[],
                  :token_sealed::bytea[])
               AS w (id, version, revision, state, document, deleted_at, is_default, instrument, expiry, fingerprint,
                     sealed)
     WHERE t.merchant_id = :merchant_id AND t.id = w.id AND t.revision = w.revision
       AND NOT EXISTS (SELECT 1 FROM taken)
    RETURNING t.id
), added AS (
    INSERT INTO tokens (merchant_id, kind, id, made, version, revision, state, document, deleted_at, customer,
                        is_default, instrument, expiry, fingerprint, sealed)
    SELECT :merchant_id, n.kind, n.id, n.made, n.version, 0, n.state, n.document, n.deleted_at, n.customer,
           n.is_default, n.instrument, n.expiry, n.fingerprint, n.sealed
      FROM unnest(:new_kind::text[], :new_id::text[], :new_made::bigint[], :new_version::bigint[], :new_state::text[],
                  :new_document::bytea[], :new_deleted_at::bigint[], :new_customer::text[],
                  :new_is_default::integer[], :new_instrument::text[], :new_expiry::text[], :new_fingerprint::bytea[],
                  :new_sealed::bytea[])
               AS n (kind, id, made, version, state, document, deleted_at, customer, is_default, instrument, expiry,
                     fingerprint, sealed)
     WHERE (SELECT count(*) FROM changed) = cardinality(:token_id::text[]) AND NOT EXISTS (SELECT 1 FROM taken)
    ON CONFLICT DO NOTHING
    RETURNING id
), claimed AS (
    INSERT INTO claims (merchant_id, key, request, transaction_id)
    SELECT :merchant_id, w.key, w.request, :answer_id FROM wanted AS w
     WHERE NOT EXISTS (SELECT 1 FROM taken)
     ORDER BY w.key
    ON CONFLICT (merchant_id, key) DO UPDATE
       SET request = excluded.request, transaction_id = excluded.transaction_id
     WHERE claims.transaction_id < (SELECT w.since FROM wanted AS w WHERE w.key = claims.key)
    RETURNING key
), answered AS (
    INSERT INTO answers (merchant_id, id, status, answer)
    SELECT :merchant_id, :answer_id::bigint, :answer_status::integer, :answer::bytea
     WHERE :answer_status::integer IS NOT NULL AND NOT EXISTS (SELECT 1 FROM taken)
)
SELECT NULL::bytea AS key,
       1 / (CASE WHEN (SELECT count(*) FROM changed) = cardinality(:token_id::text[])
                  AND (SELECT count(*) FROM added) = cardinality(:new_id::text[])
                  AND (SELECT count(*) FROM claimed) = (SELECT count(*) FROM wanted) THEN 1 ELSE 0 END)
 WHERE NOT EXISTS (SELECT 1 FROM taken)
 UNION ALL
SELECT key, 1 FROM taken;

-- read_answer --
-- What the request that has a claim was told. Locks what it reads, as `replay` does.
SELECT c.request, 'answered', a.status, a.answer
  FROM claims AS c JOIN answers AS a ON a.merchant_id = c.merchant_id AND a.id = c.transaction_id
 WHERE c.merchant_id = :merchant_id AND c.key = :key AND c.transaction_id >= :since
   FOR UPDATE OF c, a;

-- finish_with_tokens --
-- The outcome of a payment with the tokens that it makes: its id; none where somebody concluded it before us. A token
-- that is not as it was loaded, an id or number that is taken, makes the division undo everything.
WITH concluded AS (
    UPDATE transactions
       SET operation = :operation, status = :status, approved = :approved, reason = :reason, flags = :flags,
           facts = :facts, concluded_at = :concluded_at, answer_status = :answer_status, answer = :answer
     WHERE merchant_id = :merchant_id AND id = :id AND status = :expected
    RETURNING merchant_id, id
), posted AS (
    INSERT INTO entries (merchant_id, transaction_id, line, account, currency, amount, posted_at)
    SELECT c.merchant_id, c.id, e.line, e.account, e.currency, e.amount, e.posted_at
      FROM concluded AS c,
           unnest(:line::integer[], :account::text[], :entry_currency::text[], :amount::bigint[], :posted_at::bigint[])
               AS e (line, account, currency, amount, posted_at)
), queued AS (
    INSERT INTO jobs (merchant_id, id, kind, transaction_id, state, run_at, attempts)
    SELECT c.merchant_id, j.id, j.kind, j.transaction_id, 'waiting', j.run_at, 0
      FROM concluded AS c,
           unnest(:job_id::bigint[], :job_kind::text[], :job_transaction_id::bigint[], :job_run_at::bigint[])
               AS j (id, kind, transaction_id, run_at)
), changed AS (
    UPDATE tokens AS t
       SET version = w.version, revision = t.revision + 1, state = w.state, document = w.document,
           deleted_at = w.deleted_at, is_default = w.is_default, instrument = w.instrument, expiry = w.expiry,
           fingerprint = w.fingerprint, sealed = w.sealed
      FROM unnest(:token_id::text[], :token_version::bigint[], :token_revision::bigint[], :token_state::text[],
                  :token_document::bytea[], :token_deleted_at::bigint[], :token_is_default::integer[],
                  :token_instrument::text[], :token_expiry::text[], :token_fingerprint::bytea[],
                  :token_sealed::bytea[])
               AS w (id, version, revision, state, document, deleted_at, is_default, instrument, expiry, fingerprint,
                     sealed)
     WHERE t.merchant_id = :merchant_id AND t.id = w.id AND t.revision = w.revision
       AND EXISTS (SELECT 1 FROM concluded)
    RETURNING t.id
), added AS (
    INSERT INTO tokens (merchant_id, kind, id, made, version, revision, state, document, deleted_at, customer,
                        is_default, instrument, expiry, fingerprint, sealed)
    SELECT :merchant_id, n.kind, n.id, n.made, n.version, 0, n.state, n.document, n.deleted_at, n.customer,
           n.is_default, n.instrument, n.expiry, n.fingerprint, n.sealed
      FROM unnest(:new_kind::text[], :new_id::text[], :new_made::bigint[], :new_version::bigint[], :new_state::text[],
                  :new_document::bytea[], :new_deleted_at::bigint[], :new_customer::text[],
                  :new_is_default::integer[], :new_instrument::text[], :new_expiry::text[], :new_fingerprint::bytea[],
                  :new_sealed::bytea[])
               AS n (kind, id, made, version, state, document, deleted_at, customer, is_default, instrument, expiry,
                     fingerprint, sealed)
     WHERE (SELECT count(*) FROM changed) = cardinality(:token_id::text[]) AND EXISTS (SELECT 1 FROM concluded)
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT id, 1 / (CASE WHEN (SELECT count(*) FROM changed) = cardinality(:token_id::text[])
                      AND (SELECT count(*) FROM added) = cardinality(:new_id::text[]) THEN 1 ELSE 0 END)
  FROM concluded;
