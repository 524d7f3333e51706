-- What happened among the related pins of a pin: Memboost (operators/related/memboost.py). `slate` names the pin that was asked
-- about (docs/events.md); `place` is the position, in groups of powers of two, 0 where unknown.
CREATE TABLE IF NOT EXISTS related_actions
(slate Int64, pin Int64, place UInt8, impressions UInt64, closeups UInt64, outbound_clicks UInt64, saves UInt64)
ENGINE = SummingMergeTree ORDER BY (slate, pin, place)
SETTINGS non_replicated_deduplication_window = 10000, merge_selector_base = 20;

CREATE MATERIALIZED VIEW IF NOT EXISTS related_actions_view TO related_actions AS
SELECT slate, pin, toUInt8(if(position <= 0, position + 1, least(7, 2 + floor(log2(position))))) AS place,
       countIf(kind = 1) AS impressions, countIf(kind = 2) AS closeups, countIf(kind = 3) AS outbound_clicks,
       countIf(kind = 4) AS saves
FROM engagement WHERE surface = 2 AND slate != 0 AND pin != 0 AND kind < 5 GROUP BY slate, pin, place;

-- What was there before, without the newest block of each partition, as in 0006.
TRUNCATE TABLE related_actions;
INSERT INTO related_actions
SELECT slate, pin, toUInt8(if(position <= 0, position + 1, least(7, 2 + floor(log2(position))))) AS place,
       countIf(kind = 1), countIf(kind = 2), countIf(kind = 3), countIf(kind = 4)
FROM engagement
WHERE surface = 2 AND slate != 0 AND pin != 0 AND kind < 5
  AND block NOT IN (SELECT argMax(block, offset) FROM engagement GROUP BY topic, partition)
GROUP BY slate, pin, place;
