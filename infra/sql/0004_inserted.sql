-- When a row came in, so that a worker can ask for what the others wrote lately.
ALTER TABLE pins ADD COLUMN IF NOT EXISTS inserted Int64 DEFAULT toUnixTimestamp64Milli(now64(3));
ALTER TABLE follows ADD COLUMN IF NOT EXISTS inserted Int64 DEFAULT toUnixTimestamp64Milli(now64(3));
ALTER TABLE pinners ADD COLUMN IF NOT EXISTS inserted Int64 DEFAULT toUnixTimestamp64Milli(now64(3));
