-- What is known of pins and pinners. The newest version of each row wins, whatever arrives last; a deleted pin keeps
-- its row (a tombstone), so that an older version that comes late stays without effect. Read with FINAL.

-- `image` is where the picture comes from; bytes sent inline are not stored, only the word 'inline'.
CREATE TABLE IF NOT EXISTS pins
(
    pin Int64, version Int64, deleted UInt8, pinner Int64, board Int64,
    title String, description String, link String, domain String, domain_id Int64,
    image String, created Int64
)
ENGINE = ReplacingMergeTree(version) ORDER BY pin
SETTINGS non_replicated_deduplication_window = 10000;

-- What the detector found; boxes are fractions of the image's width and height.
CREATE TABLE IF NOT EXISTS objects
(
    object Int64, pin Int64, version Int64, label LowCardinality(String), confidence Float32,
    left Float32, top Float32, right Float32, bottom Float32
)
ENGINE = ReplacingMergeTree(version) ORDER BY (pin, object)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS pin_vectors
(pin Int64, version Int64, encoder_version LowCardinality(String), vector Array(Float32))
ENGINE = ReplacingMergeTree(version) ORDER BY pin
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS pinners
(pinner Int64, version Int64, deleted UInt8, interests Array(String))
ENGINE = ReplacingMergeTree(version) ORDER BY pinner
SETTINGS non_replicated_deduplication_window = 10000;

-- `active` 0: unfollowed at `version`.
CREATE TABLE IF NOT EXISTS follows
(follower Int64, followed Int64, active UInt8, version Int64)
ENGINE = ReplacingMergeTree(version) ORDER BY (follower, followed)
SETTINGS non_replicated_deduplication_window = 10000;
