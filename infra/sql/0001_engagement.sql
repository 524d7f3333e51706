-- Raw engagement events, one row an event, and everything that is summed from them.
-- The window keeps the de-duplication tokens of the latest inserts: a batch inserted twice counts once,
-- in the raw table and in every view's target (see docs/exactness.md).

CREATE TABLE IF NOT EXISTS engagement
(
    topic LowCardinality(String), partition UInt16, first Int64, last Int64,
    offset Int64, logged Int64, time Int64, event_id Int64, kind UInt8,
    pinner Int64, pin Int64, board Int64, slate Int64, position Int16, surface UInt8,
    owner Int64, domain Int64, is_follower UInt8
)
ENGINE = MergeTree ORDER BY (topic, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000;

-- Counts by hour. `pinner` is who acted (given); `owner` is who posted the pin (received).
CREATE TABLE IF NOT EXISTS engagement_by_pin
(pin Int64, hour UInt32, impressions UInt64, closeups UInt64, outbound_clicks UInt64, saves UInt64, hides UInt64)
ENGINE = SummingMergeTree ORDER BY (pin, hour) SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS engagement_by_pin_view TO engagement_by_pin AS
SELECT pin, toUInt32(intDiv(time, 3600000)) AS hour, countIf(kind = 1) AS impressions, countIf(kind = 2) AS closeups,
       countIf(kind = 3) AS outbound_clicks, countIf(kind = 4) AS saves, countIf(kind = 5) AS hides
FROM engagement GROUP BY pin, hour;
