"""Pin2Vec: vectors of pins learned from what pinners act on in one session, on the stream."""
