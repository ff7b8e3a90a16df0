-- add_authentication --
INSERT INTO authentications (merchant_id, id, name, key, version, document, fingerprint, expires_at, due_at, card, code,
       wire, waiting)
VALUES (:merchant_id, :id, :name, :key, 0, :document, :fingerprint, :expires_at, :due_at, :card, :code,
       :wire, :waiting);

-- find_authentication --
-- By the name that its merchant knows.
SELECT id, name, version, document, fingerprint, expires_at, card, code, wire, waiting, went
  FROM authentications WHERE merchant_id = :merchant_id AND name = :name;

-- find_challenge --
-- By the hash of what is in the payer's hands.
SELECT id, name, version, document, fingerprint, expires_at, card, code, wire, waiting, went
  FROM authentications WHERE merchant_id = :merchant_id AND key = :key;

-- change_authentication --
-- Of two answers to a challenge, one changes it: the other finds another version.
UPDATE authentications SET document = :document, due_at = :due_at, version = version + 1
 WHERE merchant_id = :merchant_id AND id = :id AND version = :version
RETURNING 1;

-- end_authentication --
-- The payment that waited has ended: what was kept for it goes, and where the payer goes stays.
UPDATE authentications
   SET went = :went, due_at = NULL, card = NULL, code = NULL, waiting = NULL, version = version + 1
 WHERE merchant_id = :merchant_id AND id = :id AND went IS NULL
RETURNING 1;

-- due_authentications --
-- Challenges whose time has passed, and payments whose process ended before they did.
SELECT id, name, version, document, fingerprint, expires_at, card, code, wire, waiting, went
  FROM authentications
 WHERE merchant_id = :merchant_id AND due_at <= :now
 ORDER BY due_at LIMIT :most;

-- oldest_authentication --
SELECT MIN(id) FROM authentications WHERE merchant_id = :merchant_id;

-- purge_authentications --
DELETE FROM authentications WHERE merchant_id = :merchant_id AND id < :before;
