-- add_merchant --
-- A merchant with its keysets and first keys: its id; none where the id is taken.
WITH added AS (
    INSERT INTO merchants (id, personality, mode, terms, settled_until, created_at)
    VALUES (:id, :personality, :mode, :terms, :settled_until, :created_at)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), sealed AS (
    INSERT INTO keysets (merchant_id, purpose, sealed, created_at)
    SELECT a.id, k.purpose, k.sealed, :created_at
      FROM added AS a, unnest(:purpose::text[], :keyset::bytea[]) AS k (purpose, sealed)
), keyed AS (
    INSERT INTO merchant_keys (merchant_id, id, kind, sealed, certificate, created_at)
    SELECT a.id, k.id, k.kind, k.sealed, k.certificate, k.created_at
      FROM added AS a,
           unnest(:key_id::text[], :kind::text[], :sealed::bytea[], :certificate::bytea[], :key_created_at::bigint[])
               AS k (id, kind, sealed, certificate, created_at)
), counted AS (
    INSERT INTO changes (id, version) SELECT 1, 1 FROM added
    ON CONFLICT (id) DO UPDATE SET version = changes.version + 1
)
SELECT id FROM added;

-- add_key --
WITH added AS (
    INSERT INTO merchant_keys (merchant_id, id, kind, sealed, certificate, created_at)
    VALUES (:merchant_id, :id, :kind, :sealed, :certificate, :created_at)
    ON CONFLICT (merchant_id, id) DO NOTHING
    RETURNING id
), counted AS (
    INSERT INTO changes (id, version) SELECT 1, 1 FROM added
    ON CONFLICT (id) DO UPDATE SET version = changes.version + 1
)
SELECT id FROM added;

-- revoke_key --
WITH revoked AS (
    UPDATE merchant_keys SET revoked_at = :revoked_at
     WHERE merchant_id = :merchant_id AND id = :id AND revoked_at IS NULL
    RETURNING id
), counted AS (
    INSERT INTO changes (id, version) SELECT 1, 1 FROM revoked
    ON CONFLICT (id) DO UPDATE SET version = changes.version + 1
)
SELECT id FROM revoked;

-- set_merchant --
WITH altered AS (
    UPDATE merchants SET terms = :terms, mode = :mode
     WHERE id = :id AND terms = :seen_terms AND mode = :seen_mode
    RETURNING id
), counted AS (
    INSERT INTO changes (id, version) SELECT 1, 1 FROM altered
    ON CONFLICT (id) DO UPDATE SET version = changes.version + 1
)
SELECT id FROM altered;

-- move_clock --
-- Forward only. No row: no test merchant, or further than it may be.
WITH moved AS (
    INSERT INTO clocks (merchant_id, ahead_ms)
    SELECT id, CAST(:by_ms AS BIGINT) FROM merchants
     WHERE id = :merchant_id AND mode = 'test' AND CAST(:by_ms AS BIGINT) > 0
       AND CAST(:by_ms AS BIGINT) <= CAST(:most_ms AS BIGINT)
    ON CONFLICT (merchant_id) DO UPDATE SET ahead_ms = clocks.ahead_ms + excluded.ahead_ms
     WHERE clocks.ahead_ms + excluded.ahead_ms <= CAST(:most_ms AS BIGINT)
    RETURNING ahead_ms
), counted AS (
    INSERT INTO changes (id, version) SELECT 1, 1 FROM moved
    ON CONFLICT (id) DO UPDATE SET version = changes.version + 1
)
SELECT ahead_ms FROM moved;
