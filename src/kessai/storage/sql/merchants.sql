-- all_merchants --
SELECT m.id, m.personality, m.mode, m.terms, m.settled_until, COALESCE(c.ahead_ms, 0)
  FROM merchants AS m LEFT JOIN clocks AS c ON c.merchant_id = m.id
 ORDER BY m.id;

-- merchant_row --
SELECT m.id, m.personality, m.mode, m.terms, m.settled_until, COALESCE(c.ahead_ms, 0)
  FROM merchants AS m LEFT JOIN clocks AS c ON c.merchant_id = m.id
 WHERE m.id = :id;

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

-- move_clock --
-- Forward only. No row: no test merchant, or further than it may be.
INSERT INTO clocks (merchant_id, ahead_ms)
SELECT id, :by_ms FROM merchants WHERE id = :merchant_id AND mode = 'test' AND :by_ms > 0 AND :by_ms <= :most_ms
ON CONFLICT (merchant_id) DO UPDATE SET ahead_ms = clocks.ahead_ms + excluded.ahead_ms
 WHERE clocks.ahead_ms + excluded.ahead_ms <= :most_ms
RETURNING ahead_ms;
