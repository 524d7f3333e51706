"""A spec that uses every kind of column and every model, and rows for it with gaps and unknown ids."""

import json

import numpy as np

from operators.linchpin.columns import NO_TIME, Column, Sets
from operators.linchpin.graph import Graph, graph_of

NOW = 1_800_000_000_000
KNOWN_IDS = list(range(1000, 1040))

EVERYTHING = """
input saves: float
input shown: float
input created: time
input now: time
input owner: id
input domain: id
input country: text
input topics: set
input wishes: set
input pin: vector[16]
input taste: vector[16]

rate <- Ratio(saves, shown){mean=0.03, prior=20}
logged <- Log1p(shown)
hours <- Age(created, now){unit=1h}
old <- Log1p(hours)
fresh <- Decay(rate, created, now){half_life=7d}
noon <- Cycle(now){period=1d, wave="cos"}
step <- Bucket(hours){edges=[1, 24, 168, 720]}
steps <- OneHot(step){values=[1, 2, 3, 4, 5]}
place <- OneHot(country){values=["se", "de", "br"]}
good <- Lookup(owner){table=@"owners.json", default=-0.5}
small <- Lookup(domain){ids=[7, 8], values=[0.25, 0.75]}
site <- Embedding(domain){table=@"domains.json", default=0}
country_id <- TextId(country)
both <- Cross(owner, country){buckets=64}
pair <- Lookup(both){table=@"pairs.json", default=0}
close <- Cosine(pin, taste)
product <- Dot(pin, taste)
bound <- Clip(product){low=-1, high=1}
common <- Overlap(topics, wishes)
many <- Size(topics)
mine <- Contains(wishes, owner)
gap <- Missing(pin)
known <- CountKnown(saves, shown, close, common)
best <- Largest(rate, close, common)
all <- Concat(
    rate, logged, old, fresh, noon, steps, place, good, small, site, pair, close, bound, common, many, mine, gap, known,
    best,
)
whole <- IfMissing(all){value=0}
normal <- Normalise(whole){mean=MEAN, scale=SCALE, bound=5}
hidden <- Mlp(normal){layers=@"layers.json"}
logit <- Linear(hidden, close){weights=[0.5, -0.25, 1.5, 0.125], bias=-1}
logit_0 <- IfMissing(logit){value=-3}
chance <- Platt(logit_0){slope=1.25, shift=0.1}
trees <- Forest(all, logged){model=@"forest.json"}
score <- WeightedSum(chance, trees){weights=[1.0, 0.5]}
unused <- Add(rate, logged)
unused_too <- Sigmoid(unused)
output whole, score, both, step
"""
WIDTH = 28


def files(seed: int = 0) -> dict[str, bytes]:
    """The files that :data:`EVERYTHING` names."""
    chance = np.random.default_rng(seed)
    layers = [
        {
            "weight": chance.normal(size=(WIDTH, 8)).tolist(),
            "bias": chance.normal(size=8).tolist(),
            "activation": "relu",
        },
        {"weight": chance.normal(size=(8, 3)).tolist(), "activation": "tanh"},
    ]
    domains = {"ids": KNOWN_IDS, "values": chance.normal(size=(len(KNOWN_IDS), 4)).tolist()}
    return {
        "owners.json": json.dumps({"ids": KNOWN_IDS, "values": chance.normal(size=len(KNOWN_IDS)).tolist()}).encode(),
        "domains.json": json.dumps(domains).encode(),
        "pairs.json": json.dumps({"ids": list(range(1, 65)), "values": chance.normal(size=64).tolist()}).encode(),
        "layers.json": json.dumps({"layers": layers}).encode(),
        "forest.json": json.dumps({"trees": [tree(chance, WIDTH + 1) for _ in range(40)], "rate": 0.1}).encode(),
    }


def tree(chance: np.random.Generator, width: int, depth: int = 4) -> dict[str, list]:
    """A full tree in scikit-learn's arrays, children after parents."""
    inner, nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    rows = range(nodes)
    return {
        "children_left": [2 * row + 1 if row < inner else -1 for row in rows],
        "children_right": [2 * row + 2 if row < inner else -1 for row in rows],
        "feature": [int(chance.integers(width)) if row < inner else -2 for row in rows],
        "threshold": chance.normal(size=nodes).tolist(),
        "value": chance.normal(size=nodes).tolist(),
        "missing_go_to_left": (chance.random(nodes) < 0.5).tolist(),
    }


def everything(seed: int = 0) -> Graph:
    stored = files(seed)
    text = EVERYTHING.replace("MEAN", str([0.1] * WIDTH)).replace("SCALE", str([1.5] * WIDTH))
    return graph_of(text, stored.__getitem__)


def rows(n: int, seed: int = 0) -> dict[str, Column]:
    """Columns for :data:`EVERYTHING`; about a fifth of each is missing, half of the ids are unknown to its tables."""
    chance = np.random.default_rng(seed)

    def gaps(values: np.ndarray, missing) -> np.ndarray:
        values = values.copy()
        values[chance.random(n) < 0.2] = missing
        return values

    ids = np.array(KNOWN_IDS + [2**62 + each for each in KNOWN_IDS])
    countries = np.array(["se", "de", "br", "jp", "no,such\tland 💡", ""], object)

    def sets(*also: int) -> Sets:
        ends = np.cumsum(chance.integers(0, 4, n))
        drawn = np.split(chance.integers(0, 30, ends[-1] if n else 0), ends[:-1])
        return Sets.of([np.append(each, also) for each in drawn[:n]])

    return {
        "saves": gaps(chance.poisson(2, n).astype(np.float32), np.nan),
        "shown": gaps(chance.poisson(60, n).astype(np.float32), np.nan),
        "created": gaps(NOW - chance.integers(-(10**7), 10**10, n), NO_TIME),
        "now": NOW + np.arange(n),
        "owner": gaps(chance.choice(ids, n), 0),
        "domain": gaps(np.where(chance.random(n) < 0.3, 7, chance.choice(ids, n)), 0),
        "country": gaps(chance.choice(countries, n), None),
        "topics": sets(),
        "wishes": sets(1003),
        "pin": gaps(chance.normal(size=(n, 16)).astype(np.float32), np.nan),
        "taste": gaps(chance.normal(size=(n, 16)).astype(np.float32), np.nan),
    }
