-- all_merchants --
SELECT id, personality, mode, terms, settled_until FROM merchants ORDER BY id;

-- merchant_row --
SELECT id, personality, mode, terms, settled_until FROM merchants WHERE id = :id;

-- add_merchant --
INSERT INTO merchants (id, personality, mode, terms, settled_until, created_at)
VALUES (:id, :personality, :mode, :terms, :settled_until, :created_at)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- set_merchant --
-- None back: somebody else changed the merchant since it was read.
UPDATE merchants SET terms = :terms, mode = :mode
 WHERE id = :id AND terms = :seen_terms AND mode = :seen_mode
RETURNING id;

-- settled_until --
UPDATE merchants SET settled_until = :settled_until WHERE id = :id;

-- merchant_keys --
SELECT id, kind, sealed, certificate, created_at, revoked_at FROM merchant_keys WHERE merchant_id = :merchant_id ORDER BY created_at, id;

-- add_key --
INSERT INTO merchant_keys (merchant_id, id, kind, sealed, certificate, created_at)
VALUES (:merchant_id, :id, :kind, :sealed, :certificate, :created_at)
ON CONFLICT (merchant_id, id) DO NOTHING
RETURNING id;

-- revoke_key --
UPDATE merchant_keys SET revoked_at = :revoked_at
 WHERE merchant_id = :merchant_id AND id = :id AND revoked_at IS NULL
RETURNING id;

-- keysets --
SELECT purpose, sealed FROM keysets WHERE merchant_id = :merchant_id;

-- add_keyset --
INSERT INTO keysets (merchant_id, purpose, sealed, created_at) VALUES (:merchant_id, :purpose, :sealed, :created_at);
