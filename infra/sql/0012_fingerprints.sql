-- What a pin's picture looks like, in 256 bits for each of its views (operators/vision/fingerprint.py), so that the same
-- picture pinned again is found. `created` is the pin's; `near` names the pictures that were known to be nearly the same
-- (a number made of their fingerprints), so that a start need not compare all with all. Both arrays are empty for a pin
-- that is deleted or shows nothing. A row counts when it carries the pin's newest version. Read with FINAL.
CREATE TABLE IF NOT EXISTS fingerprints
(
    pin Int64, version Int64, created Int64, fingerprint Array(Int64), near Array(Int64),
    inserted Int64 DEFAULT toUnixTimestamp64Milli(now64(3))
)
ENGINE = ReplacingMergeTree(version) ORDER BY pin
SETTINGS non_replicated_deduplication_window = 10000, old_parts_lifetime = 120;
