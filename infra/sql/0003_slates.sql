-- Every slate that went out, with what is needed to build it again and to learn from it. The four arrays have one
-- entry for each place; `probabilities` has four (save, closeup, outbound click, hide), `stages` is JSON.
CREATE TABLE IF NOT EXISTS slates
(
    slate Int64, pinner Int64, trigger_event Int64, trigger_logged Int64, emitted Int64,
    positions Array(Int16), pins Array(Int64), sources Array(String), scores Array(Float32),
    probabilities Array(Array(Float32)), degraded Array(String), versions String, seed Int64, stages String,
    INDEX by_pinner pinner TYPE bloom_filter GRANULARITY 4,
    INDEX by_emitted emitted TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(emitted) ORDER BY slate
SETTINGS non_replicated_deduplication_window = 10000;
