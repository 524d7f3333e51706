-- What was merged stays on disk for two minutes, so that a merge that a full disk damaged can be taken back
-- (infra/clickhouse_damage.py). A ClickHouse server keeps it for eight; chdb does not keep it at all.
ALTER TABLE engagement MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE engagement_by_pin MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE engagement_by_pinner MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE engagement_by_owner MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE engagement_by_domain MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE engagement_by_board MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE signals_by_pin MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE signals_by_pinner MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE saves MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE pins MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE objects MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE pin_vectors MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE pinners MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE follows MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE slates MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE claims MODIFY SETTING old_parts_lifetime = 120;
ALTER TABLE schema_migrations MODIFY SETTING old_parts_lifetime = 120;
