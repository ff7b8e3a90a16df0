-- add_plan --
-- None: its code is taken, or this very plan was added before.
INSERT INTO plans (merchant_id, id, version, code, number, state, name, was_subscribed, terms)
VALUES (:merchant_id, :id, 0, :code, :number, :state, :name, 0, :terms)
ON CONFLICT DO NOTHING
RETURNING id;

-- change_plan --
-- None: somebody changed it meanwhile.
UPDATE plans
   SET version = version + 1, code = :code, number = :number, state = :state, name = :name, terms = :terms
 WHERE merchant_id = :merchant_id AND id = :id AND version = :version
   AND NOT EXISTS (SELECT 1 FROM plans AS p WHERE p.merchant_id = :merchant_id AND p.code = :code AND p.id <> :id)
RETURNING id;

-- subscribe_to_plan --
-- None: there is no such plan any more.
UPDATE plans SET was_subscribed = 1 WHERE merchant_id = :merchant_id AND id = :id RETURNING id;

-- delete_plan --
-- None: it is none that may be deleted.
DELETE FROM plans WHERE merchant_id = :merchant_id AND id = :id AND (state = 'DRAFT' OR was_subscribed = 0) RETURNING id;

-- load_plan --
SELECT id, version, was_subscribed, terms FROM plans WHERE merchant_id = :merchant_id AND id = :id;

-- plans_page --
-- An empty text asks for any.
SELECT id, version, was_subscribed, terms FROM plans
 WHERE merchant_id = :merchant_id AND (:code = '' OR code = :code) AND (:state = '' OR state = :state)
   AND (:name = '' OR name = :name)
 ORDER BY id LIMIT :most OFFSET :skip;

-- plans_count --
SELECT COUNT(*) FROM plans
 WHERE merchant_id = :merchant_id AND (:code = '' OR code = :code) AND (:state = '' OR state = :state)
   AND (:name = '' OR name = :name);

-- highest_plan_number --
SELECT COALESCE(MAX(number), 0) FROM plans WHERE merchant_id = :merchant_id;

-- add_subscription --
-- None: its code is taken, or this very subscription was added before.
INSERT INTO subscriptions (merchant_id, id, version, code, number, state, customer_id, reference, plan_id, plan_code,
                           plan_name, first_name, last_name, due_at, terms)
VALUES (:merchant_id, :id, 0, :code, :number, :state, :customer_id, :reference, :plan_id, :plan_code,
        :plan_name, :first_name, :last_name, :due_at, :terms)
ON CONFLICT DO NOTHING
RETURNING id;

-- change_subscription --
-- None: somebody changed it meanwhile, or its new code is taken.
UPDATE subscriptions
   SET version = version + 1, code = :code, number = :number, state = :state, customer_id = :customer_id,
       reference = :reference, plan_id = :plan_id, plan_code = :plan_code, plan_name = :plan_name,
       first_name = :first_name, last_name = :last_name, due_at = :due_at, terms = :terms
 WHERE merchant_id = :merchant_id AND id = :id AND version = :version
   AND NOT EXISTS (SELECT 1 FROM subscriptions AS s
                    WHERE s.merchant_id = :merchant_id AND s.code = :code AND s.id <> :id)
RETURNING id;

-- load_subscription --
SELECT id, version, terms FROM subscriptions WHERE merchant_id = :merchant_id AND id = :id;

-- subscriptions_page --
-- An empty text asks for any.
SELECT id, version, terms FROM subscriptions
 WHERE merchant_id = :merchant_id AND (:code = '' OR code = :code) AND (:state = '' OR state = :state)
   AND (:customer_id = '' OR customer_id = :customer_id) AND (:reference = '' OR reference = :reference)
   AND (:plan_code = '' OR plan_code = :plan_code) AND (:plan_name = '' OR plan_name = :plan_name)
   AND (:first_name = '' OR first_name = :first_name) AND (:last_name = '' OR last_name = :last_name)
 ORDER BY id LIMIT :most OFFSET :skip;

-- subscriptions_count --
SELECT COUNT(*) FROM subscriptions
 WHERE merchant_id = :merchant_id AND (:code = '' OR code = :code) AND (:state = '' OR state = :state)
   AND (:customer_id = '' OR customer_id = :customer_id) AND (:reference = '' OR reference = :reference)
   AND (:plan_code = '' OR plan_code = :plan_code) AND (:plan_name = '' OR plan_name = :plan_name)
   AND (:first_name = '' OR first_name = :first_name) AND (:last_name = '' OR last_name = :last_name);

-- highest_subscription_number --
SELECT COALESCE(MAX(number), 0) FROM subscriptions WHERE merchant_id = :merchant_id;

-- subscriptions_of_customer --
-- The latest ones first.
SELECT id, version, terms FROM subscriptions
 WHERE merchant_id = :merchant_id AND customer_id = :customer_id
 ORDER BY id DESC LIMIT 20;

-- subscriptions_of_plan --
SELECT id, version, terms FROM subscriptions
 WHERE merchant_id = :merchant_id AND plan_id = :plan_id AND id > :after
 ORDER BY id LIMIT 200;

-- due_subscriptions --
-- What is to be charged by now, a page at a time.
SELECT id, version, terms, due_at FROM subscriptions
 WHERE merchant_id = :merchant_id AND due_at <= :now AND (due_at, id) > (:after, :after_id)
 ORDER BY due_at, id LIMIT 100;

-- begin_charge --
-- None: this try was begun before.
INSERT INTO subscription_charges (merchant_id, subscription_id, period, attempt, id, state, currency, amount, setup_fee,
                                  due_at, begun_at)
VALUES (:merchant_id, :subscription_id, :period, :attempt, :id, 'begun', :currency, :amount, :setup_fee,
        :due_at, :begun_at)
ON CONFLICT (merchant_id, subscription_id, period, attempt) DO NOTHING
RETURNING id;

-- record_charge --
-- None: it was recorded before.
UPDATE subscription_charges
   SET state = :charge_state, concluded_at = :concluded_at, transaction_id = :transaction_id
 WHERE merchant_id = :merchant_id AND subscription_id = :id AND period = :period AND attempt = :attempt
   AND state = 'begun'
RETURNING id;

-- load_charge --
SELECT id, period, attempt, state, currency, amount, setup_fee, due_at, begun_at, concluded_at, transaction_id
  FROM subscription_charges
 WHERE merchant_id = :merchant_id AND subscription_id = :subscription_id AND period = :period AND attempt = :attempt;

-- load_charges --
-- The charges of a subscription, a page at a time.
SELECT id, period, attempt, state, currency, amount, setup_fee, due_at, begun_at, concluded_at, transaction_id
  FROM subscription_charges
 WHERE merchant_id = :merchant_id AND subscription_id = :subscription_id
 ORDER BY period, attempt LIMIT :most OFFSET :skip;

-- charges_count --
SELECT COUNT(*) FROM subscription_charges WHERE merchant_id = :merchant_id AND subscription_id = :subscription_id;

-- claimed_by --
-- The transaction that holds a claim.
SELECT transaction_id FROM claims WHERE merchant_id = :merchant_id AND key = :key;

-- claim_answer --
-- One row back: the key is this request's, fresh or lapsed. None: another one has it.
INSERT INTO kept_answers (merchant_id, key, request, id)
VALUES (:merchant_id, :key, :request, :id)
ON CONFLICT (merchant_id, key) DO UPDATE SET request = excluded.request, id = excluded.id, status = NULL, answer = NULL
 WHERE kept_answers.id < :since
RETURNING id;

-- kept_answer --
SELECT request, id, status, answer FROM kept_answers WHERE merchant_id = :merchant_id AND key = :key;

-- keep_answer --
UPDATE kept_answers SET status = :status, answer = :answer
 WHERE merchant_id = :merchant_id AND key = :key AND id = :id AND status IS NULL;

-- forget_answer --
DELETE FROM kept_answers WHERE merchant_id = :merchant_id AND key = :key AND id = :id RETURNING id;

-- oldest_kept --
SELECT MIN(id) FROM kept_answers WHERE merchant_id = :merchant_id;

-- purge_kept --
DELETE FROM kept_answers WHERE merchant_id = :merchant_id AND id < :before;
