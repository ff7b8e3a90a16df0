-- change_keyset --
-- A keyset in the place of one that stood as the caller had read it, what happened to its key, and that all must read it.
WITH changed AS (
    UPDATE keysets SET sealed = :sealed
     WHERE merchant_id = :merchant_id AND purpose = :purpose AND sealed = :was
    RETURNING merchant_id, purpose, created_at
), noted AS (
    INSERT INTO vault_keys (merchant_id, purpose, id, seals, created_at, promoted_at, destroyed_at)
    SELECT c.merchant_id, c.purpose, :id::bytea, 0, COALESCE(:created_at::bigint, c.created_at), :promoted_at::bigint,
           :destroyed_at::bigint
      FROM changed AS c
    ON CONFLICT (merchant_id, purpose, id) DO UPDATE
       SET promoted_at = COALESCE(excluded.promoted_at, vault_keys.promoted_at),
           destroyed_at = COALESCE(excluded.destroyed_at, vault_keys.destroyed_at)
), counted AS (
    INSERT INTO changes (id, version) SELECT 1, 1 FROM changed
    ON CONFLICT (id) DO UPDATE SET version = changes.version + 1
)
SELECT purpose FROM changed;

-- add_message_key --
WITH added AS (
    INSERT INTO message_keys (id, sealed, certificate, created_at) VALUES (:id, :sealed, :certificate, :created_at)
    RETURNING id
), counted AS (
    INSERT INTO changes (id, version) SELECT 1, 1 FROM added
    ON CONFLICT (id) DO UPDATE SET version = changes.version + 1
)
SELECT id FROM added;
