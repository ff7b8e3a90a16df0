-- vault_keys --
-- The keys of a merchant that have sealed or were added, oldest first.
SELECT purpose, id, seals, created_at, promoted_at, destroyed_at FROM vault_keys
 WHERE merchant_id = :merchant_id ORDER BY purpose, created_at, id;

-- keysets_made --
SELECT purpose, created_at FROM keysets WHERE merchant_id = :merchant_id;

-- reserve_seals --
-- Seals are counted before they are made. A keyset's first key is written down here; it is as old as its keyset. None
-- back: the key would seal more often than it may.
INSERT INTO vault_keys (merchant_id, purpose, id, seals, created_at)
VALUES (:merchant_id, :purpose, :id, :count,
        COALESCE((SELECT created_at FROM keysets WHERE merchant_id = :merchant_id AND purpose = :purpose), :now))
ON CONFLICT (merchant_id, purpose, id) DO UPDATE
   SET seals = vault_keys.seals + excluded.seals
 WHERE vault_keys.seals <= :room
RETURNING seals;

-- give_back_seals --
UPDATE vault_keys SET seals = seals - :count WHERE merchant_id = :merchant_id AND purpose = :purpose AND id = :id;

-- change_keyset --
-- One row back: the keyset stood as the caller had read it.
UPDATE keysets SET sealed = :sealed
 WHERE merchant_id = :merchant_id AND purpose = :purpose AND sealed = :was
RETURNING purpose;

-- note_vault_key --
-- When a key was added, promoted, destroyed. What is known already stays.
INSERT INTO vault_keys (merchant_id, purpose, id, seals, created_at, promoted_at, destroyed_at)
SELECT k.merchant_id, k.purpose, :id, 0, COALESCE(:created_at, k.created_at), :promoted_at, :destroyed_at
  FROM keysets AS k WHERE k.merchant_id = :merchant_id AND k.purpose = :purpose
ON CONFLICT (merchant_id, purpose, id) DO UPDATE
   SET promoted_at = COALESCE(excluded.promoted_at, vault_keys.promoted_at),
       destroyed_at = COALESCE(excluded.destroyed_at, vault_keys.destroyed_at);

-- message_keys --
-- The installation's pairs for encrypted messages, oldest first.
SELECT id, sealed, certificate FROM message_keys ORDER BY created_at, id;

-- add_message_key --
INSERT INTO message_keys (id, sealed, certificate, created_at) VALUES (:id, :sealed, :certificate, :created_at);
