-- take_node --
-- The embedded database has one process, so one node.
INSERT INTO nodes (node, lease, until, host, loaded) VALUES (1, :lease, 0, :host, :loaded) RETURNING node;

-- renew_node --
-- Nobody else can have the one node of the embedded database.
UPDATE nodes SET loaded = :loaded WHERE node = :node AND lease = :lease RETURNING node;

-- nodes_behind --
-- Processes that may still work with merchants and keys older than a version.
SELECT node, host FROM nodes WHERE loaded < :version;

-- forget_nodes --
-- A process that begins on the embedded database is alone: every lease before it has ended.
DELETE FROM nodes;

-- release_node --
-- Given back in order: the number is free at once.
UPDATE nodes SET until = 0 WHERE node = :node AND lease = :lease;

-- changes_version --
-- How often merchants, keys and terms were changed.
SELECT version FROM changes;

-- bump_changes --
INSERT INTO changes (id, version) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET version = changes.version + 1;
