"""What pinners save together: a model of saves that every save changes, for anybody's list of pins."""
