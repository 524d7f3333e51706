-- What a pin is about. `stage` 1: what its own text says, written when the catalogue accepts it; 2: with what was seen in
-- its picture and what its neighbours say, written after vision. `words` are what text search finds the pin by
-- (operators/annotations/words.py: a number for each word, 0 for a break; of stage 2 those that are not its own), so that
-- a start need not take texts apart again. A row counts when it carries the pin's newest version; a deleted pin has empty
-- ones. Read with FINAL.
CREATE TABLE IF NOT EXISTS pin_annotations
(
    pin Int64, stage UInt8, version Int64, words Array(Int64), fields Array(UInt8),
    phrases Array(String), confidences Array(Float32),
    interests Array(LowCardinality(String)), interest_scores Array(Float32),
    inserted Int64 DEFAULT toUnixTimestamp64Milli(now64(3))
)
ENGINE = ReplacingMergeTree(version) ORDER BY (pin, stage)
SETTINGS non_replicated_deduplication_window = 10000, old_parts_lifetime = 120;
