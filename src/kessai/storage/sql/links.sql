-- add_link --
INSERT INTO payment_links (merchant_id, id, key, version, state, tries, document, expires_at)
VALUES (:merchant_id, :id, :key, 0, 'open', 0, :document, :expires_at);

-- find_link --
-- By the hash of what is in the payer's hands.
SELECT id, version, state, tries, payment_id, document, expires_at
  FROM payment_links WHERE merchant_id = :merchant_id AND key = :key;

-- change_link --
-- Of two who change a link, one does: the other finds another version.
UPDATE payment_links
   SET state = :state, tries = :tries, payment_id = :payment_id, due_at = :due_at, version = version + 1
 WHERE merchant_id = :merchant_id AND id = :id AND version = :version
RETURNING 1;

-- due_links --
-- Links whose payment was begun, and whose payer may never come back to hear what became of it.
SELECT id, version, state, tries, payment_id, document, expires_at
  FROM payment_links
 WHERE merchant_id = :merchant_id AND due_at <= :now
 ORDER BY due_at LIMIT :most;

-- oldest_link --
SELECT MIN(id) FROM payment_links WHERE merchant_id = :merchant_id;

-- purge_links --
DELETE FROM payment_links WHERE merchant_id = :merchant_id AND id < :before;
