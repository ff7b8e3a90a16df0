-- originals_indexed --
-- The latest transactions of a card that are in the index, newest first.
SELECT t.id, t.payment_id, t.requested_at, t.flags, t.facts
  FROM (SELECT n.merchant_id, n.id, n.submitted_at FROM search_terms AS n
         WHERE n.merchant_id = :merchant_id AND n.term = :term
         ORDER BY n.submitted_at DESC, n.id DESC LIMIT :most) AS s
  JOIN transactions AS t ON t.merchant_id = s.merchant_id AND t.id = s.id
 ORDER BY s.submitted_at DESC, s.id DESC;

-- originals_not_indexed --
-- What began the latest payments of a card that the index does not have yet.
SELECT t.id, t.payment_id, t.requested_at, t.flags, t.facts
  FROM (SELECT n.merchant_id, n.id, n.fingerprint FROM payments AS n
         WHERE n.merchant_id = :merchant_id AND n.id > :after
         ORDER BY n.id DESC LIMIT :most) AS p
  JOIN transactions AS t ON t.merchant_id = p.merchant_id AND t.id = p.id
 WHERE p.fingerprint = :fingerprint
 ORDER BY t.id DESC;

-- beyond_not_indexed --
-- One row back: more payments are waiting to be indexed than were looked at.
SELECT id FROM payments
 WHERE merchant_id = :merchant_id AND id > :after
 ORDER BY id DESC
 LIMIT 1 OFFSET :most;
