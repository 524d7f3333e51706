-- The sources that proposed the pin in the pinner's latest slate with it, one bit each in the order of
-- operators.slate.candidates.SOURCES; 0 where no slate is known to have shown it.
ALTER TABLE engagement ADD COLUMN IF NOT EXISTS sources UInt32 DEFAULT 0;

-- What came of the pins of each source, by its number in that order: what a start reads to blend sources again.
CREATE TABLE IF NOT EXISTS rewards_by_source
(
    pinner Int64, source UInt8, impressions UInt64, closeups UInt64, outbound_clicks UInt64, saves UInt64, hides UInt64,
    latest SimpleAggregateFunction(max, Int64)
)
ENGINE = SummingMergeTree ORDER BY (pinner, source)
SETTINGS non_replicated_deduplication_window = 10000, merge_selector_base = 20, old_parts_lifetime = 120;

CREATE MATERIALIZED VIEW IF NOT EXISTS rewards_by_source_view TO rewards_by_source AS
SELECT pinner, toUInt8(arrayJoin(bitPositionsToArray(sources))) AS source, countIf(kind = 1) AS impressions,
       countIf(kind = 2) AS closeups, countIf(kind = 3) AS outbound_clicks, countIf(kind = 4) AS saves,
       countIf(kind = 5) AS hides, max(time) AS latest
FROM engagement WHERE sources != 0 AND pinner != 0 GROUP BY pinner, source;
