import numpy as np

from operators.slate.candidates import SOURCES
from operators.slate.utility import unranked


def test_without_a_ranker_what_the_pinner_likes_goes_before_what_is_good():
    quality = np.array([0.1, 0.9, 0.5, np.nan], np.float32)
    nothing = np.full((4, len(SOURCES)), np.nan, np.float32)
    assert unranked(quality, nothing).argmax() == 1
    liked = nothing.copy()
    liked[:, SOURCES.index("boards")] = [0.9, np.nan, 0.8, np.nan]
    liked[:, SOURCES.index("fresh")] = [np.nan, 1.0, np.nan, 0.9]
    assert set(np.argsort(-unranked(quality, liked))[:2].tolist()) == {0, 2}
    assert np.isfinite(unranked(np.full(4, np.nan, np.float32), nothing)).all()


def test_two_sources_that_agree_beat_one():
    scores = np.full((3, len(SOURCES)), np.nan, np.float32)
    scores[:, SOURCES.index("boards")] = [0.9, 0.8, np.nan]
    scores[:, SOURCES.index("visual")] = [np.nan, 0.5, 0.9]
    assert unranked(np.full(3, np.nan, np.float32), scores).argmax() == 1


def test_boards_and_walks_are_one_witness_not_two() -> None:
    unknown = np.full(3, np.nan, np.float32)
    scores = np.full((3, len(SOURCES)), np.nan, np.float32)
    scores[:, SOURCES.index("boards")] = [0.9, 0.9, np.nan]
    alone = unranked(unknown, scores)
    scores[:, SOURCES.index("walks")] = [5.0, 4.0, 3.0]
    both = unranked(unknown, scores)
    assert both[:2].tolist() == alone[:2].tolist(), "the same boards again add nothing"
    assert both[2] > alone[2], "what only walks reach is proposed"
