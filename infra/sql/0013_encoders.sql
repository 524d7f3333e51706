-- Encoders, by the model that Triton serves: what the workers follow (streams/encoders/). `version` is what its vectors
-- are called in pin_vectors, `state` is filling, ready, serving, retired, dropping or dropped. Without a row the model
-- `encoder` serves. Read with FINAL.
CREATE TABLE IF NOT EXISTS encoders
(model String, version String, state LowCardinality(String), changed Int64)
ENGINE = ReplacingMergeTree(changed) ORDER BY model
SETTINGS non_replicated_deduplication_window = 10000;

-- How far the index of an encoder is filled: pins up to `position` were looked at again since `began`; of so many the
-- picture is gone. `parity` is the last check as JSON. Only the worker that fills writes here.
CREATE TABLE IF NOT EXISTS encoder_fills
(
    model String, began Int64, position Int64, filled UInt64, gone UInt64, total UInt64, done UInt8, parity String,
    changed Int64
)
ENGINE = ReplacingMergeTree(changed) ORDER BY model
SETTINGS non_replicated_deduplication_window = 10000;

-- Pins that an encoder beside the serving one has missed and has to look at again; `open` 0: it has.
CREATE TABLE IF NOT EXISTS encoder_misses
(model String, pin Int64, open UInt8, changed Int64)
ENGINE = ReplacingMergeTree(changed) ORDER BY (model, pin)
SETTINGS non_replicated_deduplication_window = 10000;
