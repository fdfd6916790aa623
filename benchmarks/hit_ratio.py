#!/usr/bin/env python3
"""Hit ratios of Seawall's store beside other eviction algorithms, on made traces.

The simulator runs the store's real code without I/O and writes each trace; libCacheSim (PyPI) runs the others over the
same file, with the same room: LRU, the reference S3-FIFO, and Belady's algorithm, which knows the future. Belady's
choice is best for objects of one size; `BeladySize` also looks at sizes, which wins more hits and fewer bytes.

    python3 benchmarks/hit_ratio.py --simulator target/debug/seawall-simulator
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

try:
    import libcachesim
except ImportError:
    sys.exit("libcachesim is missing: run `make hit-ratio`, which installs it")

# A name and what the recipe differs in. The seed is the same for all.
TRACES = [
    ("α 0.6", ["--alpha", "0.6"]),
    ("α 0.8", ["--alpha", "0.8"]),
    ("α 1.0", ["--alpha", "1.0"]),
    ("α 1.1", ["--alpha", "1.1"]),
    ("α 0.8, fast drift", ["--alpha", "0.8", "--drift", "20"]),
    ("α 0.8, crawlers", ["--alpha", "0.8", "--scan-every", "100000", "--scan-length", "60000"]),
    ("α 0.8, no crawler or crowd", ["--alpha", "0.8", "--scan-every", "0", "--crowd-every", "0"]),
]
OTHERS = ["LRU", "S3FIFO", "Belady", "BeladySize"]


def other(name, trace, size):
    cache = getattr(libcachesim, name)(size)
    reader = libcachesim.TraceReader(trace, libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    objects, bytes_ = cache.process_trace(reader)
    return 1 - objects, 1 - bytes_


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulator", required=True, help="the binary; `make hit-ratio` builds it")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--shares", default="0.01,0.05,0.1", help="cache sizes as shares of all distinct bytes")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="seawall-traces-")
    path = os.path.join(folder, "trace")
    columns = ["Seawall", "LRU", "S3-FIFO", "Belady", "Belady by size"]
    print(f"{args.requests} requests, seed {args.seed}; each cell: objects % / bytes % that were hits.\n")
    print("| trace | asked for once | cache | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 3) + "|")
    try:
        for name, recipe in TRACES:
            command = [args.simulator, "--requests", str(args.requests), "--seed", str(args.seed),
                       "--shares", args.shares, "--trace", path, *recipe]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for row in found["seawall"]:
                cells = [(row["object_hit_ratio"], row["byte_hit_ratio"])]
                cells += [other(algorithm, path, row["bytes"]) for algorithm in OTHERS]
                shown = " | ".join(f"{objects * 100:.1f} / {bytes_ * 100:.1f}" for objects, bytes_ in cells)
                room = f"{row['share'] * 100:g} % ({row['bytes'] / 2**30:.1f} GiB)"
                print(f"| {name} | {found['once'] * 100:.0f} % of objects | {room} | {shown} |", flush=True)
    finally:
        if os.path.exists(path):
            os.remove(path)
        os.rmdir(folder)


if __name__ == "__main__":
    main()
