"""Run as ``python -m llmos_disk.probe``: use a Chroma index for real, and die here if it is damaged."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from llmos_disk.chroma_index import ChromaIndex, IndexDamaged

_KEY = "probe:0"


def main() -> int:
    """Read the request from standard input; 0 when the index can be read and written."""
    request = json.load(sys.stdin)
    index = ChromaIndex(Path(request["folder"]), namespace=request["namespace"])
    embedder = request["embedder"]
    sample = [(key, bytes.fromhex(vector)) for key, vector in request["sample"]]
    try:
        index.probe(embedder, request["expected"], sample)
        if sample:
            # enough writes to reach the graph on disk, not only the log before it
            index.upsert(embedder, [(_KEY, sample[0][1])])
            index.query(embedder, _floats(sample[0][1]), 1)
            index.delete(embedder, [_KEY])
            index.probe(embedder, request["expected"], sample)
    except IndexDamaged as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _floats(raw: bytes) -> object:
    import numpy as np

    return np.frombuffer(raw, dtype=np.float16).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
