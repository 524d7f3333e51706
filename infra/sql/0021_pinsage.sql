-- Which pins have a PinSage vector in Milvus: made for this version of the pin, by this model ('' for one that was taken
-- away), when it stood on so many boards; `standing` is a sum over which they were. Read with FINAL.
CREATE TABLE IF NOT EXISTS pinsage
(pin Int64, version Int64, boards Int64, standing Int64, model LowCardinality(String), changed Int64)
ENGINE = ReplacingMergeTree(changed) ORDER BY pin
SETTINGS non_replicated_deduplication_window = 10000, old_parts_lifetime = 120;
