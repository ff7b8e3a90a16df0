-- take_node --
-- The smallest number that nobody has, or had in the last five minutes. None back: somebody was faster, or all are taken.
INSERT INTO nodes (node, lease, until, host, loaded)
SELECT free.node, :lease, clock.ms + 20000, :host, :loaded
  FROM generate_series(1, 255) AS free (node), (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock
 WHERE NOT EXISTS (SELECT 1 FROM nodes AS taken WHERE taken.node = free.node AND taken.until > clock.ms - 300000)
 ORDER BY free.node
 LIMIT 1
ON CONFLICT (node) DO UPDATE
   SET lease = excluded.lease, until = excluded.until, host = excluded.host, loaded = excluded.loaded
 WHERE nodes.until <= excluded.until - 320000
RETURNING node;

-- renew_node --
-- None back: the lease has ended; the process needs another number.
UPDATE nodes SET until = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 20000, loaded = :loaded
 WHERE node = :node AND lease = :lease AND until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint
RETURNING node;

-- nodes_behind --
-- Processes that may still work with merchants and keys older than a version. One whose lease has ended may have been
-- stopped and go on; after five minutes it is gone, as its number is (R-32).
SELECT node, host FROM nodes
 WHERE loaded < :version AND until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint - 300000
 ORDER BY node;
