-- enqueue --
INSERT INTO jobs (merchant_id, id, kind, transaction_id, state, run_at, attempts)
VALUES (:merchant_id, :id, :kind, :transaction_id, 'waiting', :run_at, 0);

-- due_jobs --
-- Notices are not among them: who delivers takes those.
SELECT id, kind, transaction_id, attempts, run_at FROM jobs
 WHERE merchant_id = :merchant_id AND state <> 'parked' AND run_at <= :now AND (kind < 'notice' OR kind >= 'noticf')
 ORDER BY run_at, id LIMIT 100;

-- job_done --
-- None back: the claim has lapsed, and the job is another worker's, or waits for one.
DELETE FROM jobs
 WHERE merchant_id = :merchant_id AND id = :id AND state = 'claimed' AND run_at = :until
RETURNING id;

-- job_later --
-- None back: as above.
UPDATE jobs SET run_at = :run_at, attempts = attempts + 1, state = :state
 WHERE merchant_id = :merchant_id AND id = :id AND state = 'claimed' AND run_at = :until
RETURNING id;

-- jobs_of --
SELECT id, kind, transaction_id, state, run_at, attempts FROM jobs WHERE merchant_id = :merchant_id ORDER BY id;

-- claim_job --
-- One row back: the job is the caller's until `until`. None: another worker has it, or it is done.
UPDATE jobs SET run_at = :until, state = 'claimed'
 WHERE merchant_id = :merchant_id AND id = :id AND run_at = :seen AND state <> 'parked'
RETURNING id;

-- drive_job --
-- A parked job, or one that waits, is tried again now.
UPDATE jobs SET run_at = :run_at, state = 'waiting', attempts = 0 WHERE merchant_id = :merchant_id AND id = :id RETURNING id;

-- hurry_jobs --
-- What waits for a later try is due now; what somebody is at stays theirs.
UPDATE jobs SET run_at = :now WHERE merchant_id = :merchant_id AND state = 'waiting' AND run_at > :now;

-- parked_jobs --
-- Jobs that wait for a person.
SELECT id, kind, transaction_id, state, run_at, attempts FROM jobs
 WHERE merchant_id = :merchant_id AND state = 'parked' ORDER BY id;
