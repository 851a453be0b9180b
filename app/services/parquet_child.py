"""Reads a Parquet file. Run as a process of its own: a stranger's file may bring a large C++ library down.

Its argument is the file. A line of JSON comes out with `columns`, then one for each row, [line, values in the order of
the columns]; or, wherever it ends, one with `refused` and why.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from app.llm.data.parquet import read_parquet
from app.llm.data.rows import BadRow
from app.llm.errors import BadTable

MEMORY_BYTES = 3 * 1024 * 1024 * 1024  # of addresses, most of them libraries'
CPU_S = 600


def main() -> None:
    """Write the rows of the file, until it ends or cannot be read on."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())  # the others set gigabytes of addresses aside
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    try:
        table = read_parquet(Path(sys.argv[1]))
        _tell({"columns": table.columns})
        for row in table.rows:
            assert not isinstance(row, BadRow), "a column has one type"
            _tell([row.line, list(row.values.values())])
    except BadTable as error:
        _tell({"refused": str(error)})
    except MemoryError:
        _tell({"refused": "it takes more memory to read than is allowed"})


def _tell(what: object) -> None:
    sys.stdout.buffer.write(json.dumps(what, ensure_ascii=False).encode() + b"\n")  # as long as it will be when kept


if __name__ == "__main__":
    main()
