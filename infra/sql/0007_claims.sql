-- Who may write a partition: its last claim, by number (streams/ledger.py). Used with a ClickHouse server; the embedded
-- process keeps claims itself, because it can check them in one step with an insert.
CREATE TABLE IF NOT EXISTS claims (topic String, partition UInt16, number Int64, claim String)
ENGINE = MergeTree ORDER BY (topic, partition);
