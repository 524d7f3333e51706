-- How likely each pin was to stand at its place, and which places were given to pins that too few have seen.
ALTER TABLE slates ADD COLUMN IF NOT EXISTS propensities Array(Float64);
ALTER TABLE slates ADD COLUMN IF NOT EXISTS explored Array(UInt8);

-- What a slate was made from (operators/slate/record.py), so that it can be explained and made again. Written beside the
-- slates, not by token: the same slate again is the same row, and it goes when it expires. Few rows a granule, as each
-- has tens of kilobytes and one is asked for at a time; small parts, as what expires is merged away.
CREATE TABLE IF NOT EXISTS slate_records
(
    slate Int64, pinner Int64, emitted Int64, expires DateTime, record String CODEC(NONE),
    INDEX by_pinner pinner TYPE bloom_filter GRANULARITY 4
)
ENGINE = ReplacingMergeTree(emitted) ORDER BY slate TTL expires
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 16, old_parts_lifetime = 120,
         max_bytes_to_merge_at_max_space_in_pool = 536870912;

-- The specs that recorded slates were made with: text and files, compressed JSON in base64.
CREATE TABLE IF NOT EXISTS slate_specs (version String, bundle String, written Int64)
ENGINE = ReplacingMergeTree(written) ORDER BY version
SETTINGS non_replicated_deduplication_window = 1000;
