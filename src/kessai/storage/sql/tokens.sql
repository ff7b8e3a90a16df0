-- load_token --
-- A token of any kind, a deleted one too.
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id AND id = :id;

-- tokens_page --
-- A merchant's tokens of every kind behind an id, deleted ones too.
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id AND id > :after
 ORDER BY id
 LIMIT :most;

-- load_default_tokens --
-- What a customer has for its defaults: at most one token of each kind.
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id AND customer = :customer AND deleted_at IS NULL AND is_default = 1
 ORDER BY made;

-- load_paying_tokens --
-- What a payment names and what that refers to, as it all stood at one moment, deleted tokens too: the named ones and the
-- instrument identifier of a payment instrument.
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id
   AND id IN (:payment_instrument, :shipping_address, :instrument,
              (SELECT instrument FROM tokens WHERE merchant_id = :merchant_id AND id = :payment_instrument));

-- load_paying_customer --
-- The same where a customer is named, with the customer's defaults and the instrument identifiers of those.
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id
   AND id IN (:customer, :payment_instrument, :shipping_address, :instrument,
              (SELECT instrument FROM tokens WHERE merchant_id = :merchant_id AND id = :payment_instrument))
 UNION ALL
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id AND customer = :customer AND deleted_at IS NULL AND is_default = 1
 UNION ALL
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id
   AND id IN (SELECT instrument FROM tokens
               WHERE merchant_id = :merchant_id AND customer = :customer AND deleted_at IS NULL AND is_default = 1);

-- load_owned_tokens --
-- Everything that a customer owns.
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id AND customer = :customer AND deleted_at IS NULL
 ORDER BY made;

-- owned_tokens_page --
-- A customer's tokens of one kind, the default first, then in the order in which they were made.
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id AND customer = :customer AND kind = :kind AND deleted_at IS NULL
 ORDER BY is_default DESC, made
 LIMIT :most OFFSET :start;

-- count_owned_tokens --
SELECT COUNT(*) FROM tokens
 WHERE merchant_id = :merchant_id AND customer = :customer AND kind = :kind AND deleted_at IS NULL;

-- referring_tokens_page --
-- The payment instruments that refer to an instrument identifier, in the order in which they were made.
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id AND instrument = :instrument AND kind = 'payment instrument' AND deleted_at IS NULL
 ORDER BY made
 LIMIT :most OFFSET :start;

-- count_referring_tokens --
SELECT COUNT(*) FROM tokens
 WHERE merchant_id = :merchant_id AND instrument = :instrument AND kind = 'payment instrument' AND deleted_at IS NULL;

-- network_token_of --
-- The network token of a card: of those that were made for it, the one that is not gone.
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id AND instrument = :instrument AND kind = 'network token' AND deleted_at IS NULL
 ORDER BY made DESC
 LIMIT 1;

-- pending_tokens --
-- Network tokens that were asked for, the oldest first.
SELECT id FROM tokens
 WHERE merchant_id = :merchant_id AND state = 'PENDING' AND deleted_at IS NULL
 ORDER BY made
 LIMIT :most;

-- expiring_tokens --
-- Payment instruments that expire in a month or before it, in the order of their ids.
SELECT id, instrument FROM tokens
 WHERE merchant_id = :merchant_id AND kind = 'payment instrument' AND deleted_at IS NULL AND state = 'ACTIVE'
   AND expiry <> '' AND expiry <= :month AND id > :after
 ORDER BY id
 LIMIT :most;

-- token_by_fingerprint --
-- The instrument identifier of a number.
SELECT kind, id, made, version, revision, state, document, deleted_at, customer, is_default, instrument, expiry,
       fingerprint, sealed
  FROM tokens
 WHERE merchant_id = :merchant_id AND fingerprint = :fingerprint;

-- add_token --
-- A new token: its id. None where the id is taken, or the number has an instrument identifier already.
INSERT INTO tokens (merchant_id, kind, id, made, version, revision, state, document, deleted_at, customer, is_default,
                    instrument, expiry, fingerprint, sealed)
VALUES (:merchant_id, :kind, :id, :made, :version, 0, :state, :document, :deleted_at, :customer, :is_default,
        :instrument, :expiry, :fingerprint, :sealed)
ON CONFLICT DO NOTHING
RETURNING id;

-- change_token --
-- A token as it will be: its id. None where it is not as it was loaded any more.
UPDATE tokens
   SET version = :version, revision = revision + 1, state = :state, document = :document, deleted_at = :deleted_at,
       is_default = :is_default, instrument = :instrument, expiry = :expiry, fingerprint = :fingerprint,
       sealed = :sealed
 WHERE merchant_id = :merchant_id AND id = :id AND revision = :revision
RETURNING id;

-- token_stands --
-- Whether a token is as it was loaded.
SELECT 1 FROM tokens WHERE merchant_id = :merchant_id AND id = :id AND revision = :revision;

-- add_answer --
-- What a request was told that is no transaction's, for who sends it again.
INSERT INTO answers (merchant_id, id, status, answer) VALUES (:merchant_id, :id, :status, :answer);

-- read_answer --
-- What the request that has a claim was told.
SELECT c.request, 'answered', a.status, a.answer
  FROM claims c JOIN answers a ON a.merchant_id = c.merchant_id AND a.id = c.transaction_id
 WHERE c.merchant_id = :merchant_id AND c.key = :key AND c.transaction_id >= :since;

-- oldest_answer --
SELECT MIN(id) FROM answers WHERE merchant_id = :merchant_id;

-- purge_answers --
-- Answers that no claim leads to any more.
DELETE FROM answers WHERE merchant_id = :merchant_id AND id < :before;
