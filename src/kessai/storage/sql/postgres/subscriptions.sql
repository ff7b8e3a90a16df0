-- change_and_record --
-- The outcome of a charge and the subscription after it. None: the subscription was changed meanwhile, or the charge was
-- recorded before.
WITH standing AS (
    SELECT s.id FROM subscriptions AS s
      JOIN subscription_charges AS c ON c.merchant_id = s.merchant_id AND c.subscription_id = s.id
     WHERE s.merchant_id = :merchant_id AND s.id = :id AND s.version = :version
       AND c.merchant_id = :merchant_id AND c.period = :period AND c.attempt = :attempt AND c.state = 'begun'
       FOR UPDATE
), changed AS (
    UPDATE subscriptions AS s
       SET version = s.version + 1, code = :code, number = :number, state = :state, customer_id = :customer_id,
           reference = :reference, plan_id = :plan_id, plan_code = :plan_code, plan_name = :plan_name,
           first_name = :first_name, last_name = :last_name, due_at = :due_at, terms = :terms
      FROM standing AS st
     WHERE s.merchant_id = :merchant_id AND s.id = st.id
    RETURNING s.id
)
UPDATE subscription_charges AS c
   SET state = :charge_state, concluded_at = :concluded_at, transaction_id = :transaction_id
  FROM changed AS ch
 WHERE c.merchant_id = :merchant_id AND c.subscription_id = ch.id AND c.period = :period AND c.attempt = :attempt
RETURNING c.id;

-- claim_answer --
-- One row back: the key is this request's, fresh or lapsed. None: another one has it, of this family or of another. An
-- insert that misses after all lost a race that this snapshot did not show: the division undoes everything.
WITH kept AS (
    INSERT INTO kept_answers (merchant_id, key, request, id)
    SELECT :merchant_id::text, :key::bytea, :request::bytea, :id::bigint
     WHERE NOT EXISTS (SELECT 1 FROM claims AS c
                        WHERE c.merchant_id = :merchant_id AND c.key = :key AND c.transaction_id >= :since)
    ON CONFLICT (merchant_id, key) DO UPDATE
       SET request = excluded.request, id = excluded.id, status = NULL, answer = NULL
     WHERE kept_answers.id < :since
    RETURNING merchant_id, key, request, id
), claimed AS (
    INSERT INTO claims (merchant_id, key, request, transaction_id)
    SELECT merchant_id, key, request, id FROM kept
    ON CONFLICT (merchant_id, key) DO UPDATE
       SET request = excluded.request, transaction_id = excluded.transaction_id
     WHERE claims.transaction_id < :since
    RETURNING key
)
SELECT id, 1 / (CASE WHEN (SELECT count(*) FROM claimed) = (SELECT count(*) FROM kept) THEN 1 ELSE 0 END) FROM kept;

-- forget_answer --
WITH free AS (
    DELETE FROM kept_answers WHERE merchant_id = :merchant_id AND key = :key AND id = :id RETURNING key
)
DELETE FROM claims AS c
 USING free AS f
 WHERE c.merchant_id = :merchant_id AND c.key = f.key AND c.transaction_id = :id;
