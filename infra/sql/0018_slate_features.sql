-- What the ranker saw of each place, in the order of the spec's features (its version is in `versions`); empty where no
-- ranker was asked. With the labels that events bring later these are training rows (training/engine_rows.py).
ALTER TABLE slates ADD COLUMN IF NOT EXISTS features Array(Array(Float32));
