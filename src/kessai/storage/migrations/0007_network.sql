-- Network tokens that were asked for: few at any time, looked for often.
CREATE INDEX tokens_pending ON tokens (merchant_id, made) WHERE state = 'PENDING' AND deleted_at IS NULL;
