-- How likely a pin's picture is not safe for work, 0 … 1, and the version of the model that says so; NULL for a pin that is
-- deleted or shows nothing. A version that the model could not be asked for leaves no row. Of the same version the row
-- that was written last counts. Read with FINAL.
CREATE TABLE IF NOT EXISTS safety
(
    pin Int64, version Int64, unsafe Nullable(Float32), model LowCardinality(String),
    inserted Int64 DEFAULT toUnixTimestamp64Milli(now64(3))
)
ENGINE = ReplacingMergeTree(version) ORDER BY pin
SETTINGS non_replicated_deduplication_window = 10000, old_parts_lifetime = 120;
