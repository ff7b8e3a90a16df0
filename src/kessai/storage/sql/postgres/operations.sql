-- standbys --
-- The synchronous standbys that are asked for, and how many are attached. Needs the role pg_monitor to see them.
SELECT current_setting('synchronous_standby_names'),
       (SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'));
