-- What a start reads instead of all raw rows, so that it costs as much after a billion events as after a million.

-- The greatest (time, event id, owner, domain) of each pin: whose it is.
ALTER TABLE signals_by_pin ADD COLUMN IF NOT EXISTS
    newest SimpleAggregateFunction(max, Tuple(Int64, Int64, Int64, Int64));

-- A new view and not another query for the old one: de-duplication of a changed view does not survive a restart.
DROP VIEW IF EXISTS signals_by_pin_view;
CREATE MATERIALIZED VIEW IF NOT EXISTS signals_of_pins_view TO signals_by_pin AS
SELECT pin, is_follower,
       sumIf(exp2((time - 1704067200000) / 604800000) * if(position < 0, 1., 1. / sqrt(1. + position)), kind = 1) AS exposure,
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 2) AS closeups,
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 3) AS outbound_clicks,
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 4) AS saves,
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 5) AS hides,
       max((time, event_id, owner, domain)) AS newest
FROM engagement WHERE pin != 0 GROUP BY pin, is_follower;

-- What each pinner gave: forward-decayed closeups, outbound clicks and saves.
CREATE TABLE IF NOT EXISTS signals_by_pinner (pinner Int64, given Float64)
ENGINE = SummingMergeTree ORDER BY pinner
SETTINGS non_replicated_deduplication_window = 10000, merge_selector_base = 20;

CREATE MATERIALIZED VIEW IF NOT EXISTS signals_by_pinner_view TO signals_by_pinner AS
SELECT pinner, sum(exp2((time - 1704067200000) / 604800000)) AS given
FROM engagement WHERE pinner != 0 AND kind IN (2, 3, 4) GROUP BY pinner;

-- Every save, by board: the edges of the board graph and the latest saves of a pinner.
CREATE TABLE IF NOT EXISTS saves (board Int64, pin Int64, time Int64, pinner Int64)
ENGINE = MergeTree ORDER BY (board, pin, time)
SETTINGS non_replicated_deduplication_window = 10000, merge_selector_base = 20;

CREATE MATERIALIZED VIEW IF NOT EXISTS saves_view TO saves AS
SELECT board, pin, time, pinner FROM engagement WHERE kind = 4;

-- What was there before. The newest block of each partition is left out: whoever takes the partition up next inserts it
-- again (docs/exactness.md), and these views do not know it yet. Nothing is written while migrations run.
TRUNCATE TABLE signals_by_pin;
INSERT INTO signals_by_pin
SELECT pin, is_follower,
       sumIf(exp2((time - 1704067200000) / 604800000) * if(position < 0, 1., 1. / sqrt(1. + position)), kind = 1),
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 2),
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 3),
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 4),
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 5),
       max((time, event_id, owner, domain))
FROM engagement
WHERE pin != 0 AND block NOT IN (SELECT argMax(block, offset) FROM engagement GROUP BY topic, partition)
GROUP BY pin, is_follower;
TRUNCATE TABLE signals_by_pinner;
INSERT INTO signals_by_pinner
SELECT pinner, sum(exp2((time - 1704067200000) / 604800000)) FROM engagement
WHERE pinner != 0 AND kind IN (2, 3, 4)
  AND block NOT IN (SELECT argMax(block, offset) FROM engagement GROUP BY topic, partition)
GROUP BY pinner;
TRUNCATE TABLE saves;
INSERT INTO saves
SELECT board, pin, time, pinner FROM engagement
WHERE kind = 4 AND block NOT IN (SELECT argMax(block, offset) FROM engagement GROUP BY topic, partition);
