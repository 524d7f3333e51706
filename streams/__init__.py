"""What runs: the Faust app, its agents, the stores they use, the API and the command line."""

import os

# A worker shares its cores with Triton, Milvus and ClickHouse: BLAS threads of its own only get in their way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
