"""Topic relevance recomputed in SQL from saves and vectors: the same as ``operators.relevance``."""

from __future__ import annotations

from operators.events import Kind
from operators.relevance import HALF_LIFE_MS, SAVES

#: Columns ``pin`` and ``relevance`` of ``{pins:Array(Int64)}`` that have a vector by ``{encoder:String}``, for
#: ``{pinner:Int64}``. Vectors of two encoders do not compare.
RELEVANCE_SQL = f"""
WITH
saves AS (
    SELECT pin, time FROM engagement WHERE pinner = {{pinner:Int64}} AND kind = {Kind.SAVE.value}
    ORDER BY time DESC, pin DESC LIMIT {SAVES}
),
ifNull((SELECT max(time) FROM saves), 0) AS latest,
vectors AS (SELECT pin, arrayMap(x -> toFloat64(x), vector) AS v FROM pin_vectors FINAL
            WHERE encoder_version = {{encoder:String}}),
(
    SELECT sumForEach(arrayMap(x -> x * pow(2., (time - latest) / {HALF_LIFE_MS}.), v))
    FROM saves INNER JOIN vectors ON saves.pin = vectors.pin
) AS taste,
scored AS (
    SELECT pin, arraySum(arrayMap((x, y) -> x * y, v, arrayResize(taste, length(v)))) AS product,
           sqrt(arraySum(arrayMap(x -> x * x, v))) * sqrt(arraySum(arrayMap(x -> x * x, taste))) AS lengths
    FROM vectors WHERE pin IN {{pins:Array(Int64)}}
)
SELECT pin, if(lengths > 0, product / lengths, 0) AS relevance FROM scored"""
