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
