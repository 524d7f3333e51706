-- What people cut out of images: boxes in fractions of width and height. The same event twice is one row. Read with FINAL.

CREATE TABLE IF NOT EXISTS crops
(event_id Int64, pin Int64, pinner Int64, time Int64, left Float32, top Float32, right Float32, bottom Float32)
ENGINE = ReplacingMergeTree ORDER BY (pin, event_id)
SETTINGS non_replicated_deduplication_window = 10000;
