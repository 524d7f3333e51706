"""The outside parts: Triton and Milvus from their own metrics, and all of them as the engine sees them."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.units import (
    BytesIEC,
    Microseconds,
    Milliseconds,
    PercentUnit,
    RequestsPerSecond,
    Seconds,
    Short,
)

from infra.grafana.panels import dashboard, lines, p, rate


def build() -> Dashboard:
    """The dashboard."""
    succeeded = rate("nv_inference_request_success", "model")
    return dashboard(
        "parts",
        "Triton and Milvus",
        [
            lines("Answering", "1 where Prometheus reaches the part.", Short, {"{{job}}": "min by (job) (up)"}),
            lines(
                "Calls by the engine",
                "99th percentile.",
                Seconds,
                {"{{part}} {{call}}": p(0.99, "pinstream_store_seconds", "part, call")},
            ),
            lines(
                "Triton: inferences",
                "Per second.",
                RequestsPerSecond,
                {"{{model}}": rate("nv_inference_count", "model")},
            ),
            lines(
                "Triton: batch size",
                "Inferences for each execution.",
                Short,
                {"{{model}}": f"{rate('nv_inference_count', 'model')} / {rate('nv_inference_exec_count', 'model')}"},
            ),
            lines(
                "Triton: time of a request",
                "Mean, and the part of it spent waiting, microseconds.",
                Microseconds,
                {
                    "{{model}}": f"{rate('nv_inference_request_duration_us', 'model')} / {succeeded}",
                    "{{model}} waiting": f"{rate('nv_inference_queue_duration_us', 'model')} / {succeeded}",
                },
            ),
            lines(
                "Triton: failures",
                "Per second.",
                RequestsPerSecond,
                {"{{model}}": rate("nv_inference_request_failure", "model")},
            ),
            lines(
                "Triton: GPU",
                "Share of the time at work.",
                PercentUnit,
                {"{{gpu_uuid}}": "max by (gpu_uuid) (nv_gpu_utilization)"},
            ),
            lines(
                "Triton: GPU memory",
                "In use.",
                BytesIEC,
                {"{{gpu_uuid}}": "max by (gpu_uuid) (nv_gpu_memory_used_bytes)"},
            ),
            lines(
                "Milvus: requests",
                "Per second.",
                RequestsPerSecond,
                {"{{function_name}} {{status}}": rate("milvus_proxy_req_count", "function_name, status")},
            ),
            lines(
                "Milvus: time of a search",
                "In Milvus, milliseconds.",
                Milliseconds,
                {f"p{int(q * 100)}": p(q, "milvus_proxy_sq_latency") for q in (0.5, 0.99)},
            ),
            lines(
                "Memory",
                "Resident, as each part says.",
                BytesIEC,
                {"{{job}}": "sum by (job) (process_resident_memory_bytes)"},
            ),
            lines(
                "Milvus: rows",
                "Loaded for search, by collection.",
                Short,
                {"{{collection_id}}": "sum by (collection_id) (milvus_querynode_entity_num)"},
            ),
        ],
    )
