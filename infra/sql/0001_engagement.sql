-- Raw engagement events, one row an event, and everything that is summed from them.
--
-- The window keeps the de-duplication tokens of the latest inserts: a batch inserted twice counts once, here and in
-- every view's target. No table that is written by token has a PARTITION BY: one insert must stay one part
-- (docs/exactness.md). `first` and `last` are the offset range of the batch that the row came in; `block` names the insert,
-- which may hold several batches: its token.

CREATE TABLE IF NOT EXISTS engagement
(
    topic LowCardinality(String), partition UInt16, first Int64, last Int64, block Int64,
    offset Int64, logged Int64, time Int64, event_id Int64, kind UInt8,
    pinner Int64, pin Int64, board Int64, slate Int64, position Int16, surface UInt8,
    owner Int64, domain Int64, is_follower UInt8,
    INDEX by_time time TYPE minmax GRANULARITY 4,
    INDEX by_block block TYPE bloom_filter GRANULARITY 1
)
ENGINE = MergeTree ORDER BY (topic, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000;

-- Counts by hour. `pinner` is who acted (given); `owner` is who posted the pin (received). 0 is unknown or erased.

CREATE TABLE IF NOT EXISTS engagement_by_pin
(pin Int64, hour UInt32, impressions UInt64, closeups UInt64, outbound_clicks UInt64, saves UInt64, hides UInt64)
ENGINE = SummingMergeTree ORDER BY (pin, hour) SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS engagement_by_pin_view TO engagement_by_pin AS
SELECT pin, toUInt32(intDiv(time, 3600000)) AS hour, countIf(kind = 1) AS impressions, countIf(kind = 2) AS closeups,
       countIf(kind = 3) AS outbound_clicks, countIf(kind = 4) AS saves, countIf(kind = 5) AS hides
FROM engagement WHERE pin != 0 GROUP BY pin, hour;

CREATE TABLE IF NOT EXISTS engagement_by_pinner
(pinner Int64, hour UInt32, impressions UInt64, closeups UInt64, outbound_clicks UInt64, saves UInt64, hides UInt64)
ENGINE = SummingMergeTree ORDER BY (pinner, hour) SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS engagement_by_pinner_view TO engagement_by_pinner AS
SELECT pinner, toUInt32(intDiv(time, 3600000)) AS hour, countIf(kind = 1) AS impressions, countIf(kind = 2) AS closeups,
       countIf(kind = 3) AS outbound_clicks, countIf(kind = 4) AS saves, countIf(kind = 5) AS hides
FROM engagement WHERE pinner != 0 GROUP BY pinner, hour;

CREATE TABLE IF NOT EXISTS engagement_by_owner
(owner Int64, hour UInt32, impressions UInt64, closeups UInt64, outbound_clicks UInt64, saves UInt64, hides UInt64)
ENGINE = SummingMergeTree ORDER BY (owner, hour) SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS engagement_by_owner_view TO engagement_by_owner AS
SELECT owner, toUInt32(intDiv(time, 3600000)) AS hour, countIf(kind = 1) AS impressions, countIf(kind = 2) AS closeups,
       countIf(kind = 3) AS outbound_clicks, countIf(kind = 4) AS saves, countIf(kind = 5) AS hides
FROM engagement WHERE owner != 0 GROUP BY owner, hour;

CREATE TABLE IF NOT EXISTS engagement_by_domain
(domain Int64, hour UInt32, impressions UInt64, closeups UInt64, outbound_clicks UInt64, saves UInt64, hides UInt64)
ENGINE = SummingMergeTree ORDER BY (domain, hour) SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS engagement_by_domain_view TO engagement_by_domain AS
SELECT domain, toUInt32(intDiv(time, 3600000)) AS hour, countIf(kind = 1) AS impressions, countIf(kind = 2) AS closeups,
       countIf(kind = 3) AS outbound_clicks, countIf(kind = 4) AS saves, countIf(kind = 5) AS hides
FROM engagement WHERE domain != 0 GROUP BY domain, hour;

CREATE TABLE IF NOT EXISTS engagement_by_board
(board Int64, hour UInt32, impressions UInt64, closeups UInt64, outbound_clicks UInt64, saves UInt64, hides UInt64)
ENGINE = SummingMergeTree ORDER BY (board, hour) SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS engagement_by_board_view TO engagement_by_board AS
SELECT board, toUInt32(intDiv(time, 3600000)) AS hour, countIf(kind = 1) AS impressions, countIf(kind = 2) AS closeups,
       countIf(kind = 3) AS outbound_clicks, countIf(kind = 4) AS saves, countIf(kind = 5) AS hides
FROM engagement WHERE board != 0 GROUP BY board, hour;

-- Forward-decayed sums (operators/decay.py): an event at t adds 2**((t - 2024-01-01) / 7 days); divide by the same power
-- of now. An impression's `exposure` is weighted by examination, 1 / sqrt(1 + position) (operators/positions.py).
CREATE TABLE IF NOT EXISTS signals_by_pin
(pin Int64, is_follower UInt8, exposure Float64, closeups Float64, outbound_clicks Float64, saves Float64, hides Float64)
ENGINE = SummingMergeTree ORDER BY (pin, is_follower) SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS signals_by_pin_view TO signals_by_pin AS
SELECT pin, is_follower,
       sumIf(exp2((time - 1704067200000) / 604800000) * if(position < 0, 1., 1. / sqrt(1. + position)), kind = 1) AS exposure,
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 2) AS closeups,
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 3) AS outbound_clicks,
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 4) AS saves,
       sumIf(exp2((time - 1704067200000) / 604800000), kind = 5) AS hides
FROM engagement WHERE pin != 0 GROUP BY pin, is_follower;
