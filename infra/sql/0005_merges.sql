-- Fewer and larger merges: each row is written again half as often. A read by key looks into a few more parts.
ALTER TABLE engagement MODIFY SETTING merge_selector_base = 20;
ALTER TABLE engagement_by_pin MODIFY SETTING merge_selector_base = 20;
ALTER TABLE engagement_by_pinner MODIFY SETTING merge_selector_base = 20;
ALTER TABLE engagement_by_owner MODIFY SETTING merge_selector_base = 20;
ALTER TABLE engagement_by_domain MODIFY SETTING merge_selector_base = 20;
ALTER TABLE engagement_by_board MODIFY SETTING merge_selector_base = 20;
ALTER TABLE signals_by_pin MODIFY SETTING merge_selector_base = 20;
