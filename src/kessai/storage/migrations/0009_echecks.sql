-- What eChecks are found by: the last digits of a bank account.
ALTER TABLE search_rows ADD COLUMN account_suffix TEXT;
