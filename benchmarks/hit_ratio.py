#!/usr/bin/env python3
"""Hit ratios of Seawall's store beside other eviction algorithms, on made traces.

The simulator runs the store's real code without I/O and writes each trace; libCacheSim (PyPI) runs the others over the
same file, with the same room: LRU, the reference S3-FIFO, and Belady's algorithm, which knows the future. Belady's
choice is best for objects of one size; `BeladySize` also looks at sizes, which wins more hits and fewer bytes.

With `--tier disk` it is the disk tier, alone and below a memory of a tenth of its size: its index, segments, ghosts and choices
over files that keep no bodies. Written are bytes for each byte of new content; what is copied within the disk makes it more than 1.

With `--tier choices` it is a disk below a memory of a tenth of its size with `admission: second_request`, or one that
remembers more or less of what it pushed out. Written are bytes for each byte that clients asked for.

    python3 benchmarks/hit_ratio.py --simulator target/debug/seawall-simulator
    python3 benchmarks/hit_ratio.py --simulator target/debug/seawall-simulator --tier disk --shares 0.1,0.3
    python3 benchmarks/hit_ratio.py --simulator target/debug/seawall-simulator --tier choices --shares 0.1,0.3
"""

import argparse
import json
import os
import subprocess
import sys

from scratch import scratch

try:
    import libcachesim
except ImportError:
    libcachesim = None

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
# What a disk may do otherwise.
CHOICES = [
    ("`all`, as it does", []),
    ("`second_request`", ["--admission", "second-request"]),
    ("the same, remembering a quarter of the first requests", ["--admission", "second-request", "--window", "0.25"]),
    ("the same, remembering 4 times as many", ["--admission", "second-request", "--window", "4"]),
    *((f"`all`, {times} times the ghosts", ["--ghosts", times]) for times in ("0", "0.25", "0.5", "2", "4")),
]
OTHERS = ["LRU", "S3FIFO", "Belady", "BeladySize"]


def other(name, trace, size):
    cache = getattr(libcachesim, name)(size)
    reader = libcachesim.TraceReader(trace, libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    objects, bytes_ = cache.process_trace(reader)
    return 1 - objects, 1 - bytes_


def simulate(args, tier, recipe, path=None):
    command = [args.simulator, "--tier", tier, "--requests", str(args.requests), "--seed", str(args.seed),
               "--shares", args.shares, *recipe]
    if path:
        command += ["--trace", path]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def percent(row):
    return f"{row['object_hit_ratio'] * 100:.1f} / {row['byte_hit_ratio'] * 100:.1f}"


def mean(rows, key):
    return sum(row[key] for row in rows) / len(rows)


def choices(args):
    """A table of CHOICES: the mean of all traces, and the one with crawlers, which ask for each object once."""
    columns = ["hits", "of them from memory", "written", "hits with crawlers", "written"]
    print(f"{args.requests} requests, seed {args.seed}; objects % / bytes % that were hits, the mean of {len(TRACES)} traces.\n")
    print("| cache | the disk | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    shares = args.shares.split(",")
    lines = {share: [] for share in shares}
    for choice, options in CHOICES:
        runs = {name: simulate(args, "both", [*recipe, *options])["seawall"] for name, recipe in TRACES}
        for at, share in enumerate(shares):
            rows = {name: found[at] for name, found in runs.items()}
            all_rows, scanned = list(rows.values()), rows["α 0.8, crawlers"]
            hits = f"{mean(all_rows, 'object_hit_ratio') * 100:.1f} / {mean(all_rows, 'byte_hit_ratio') * 100:.1f}"
            lines[share].append(f"| {float(share) * 100:g} % | {choice} | {hits} | {mean(all_rows, 'memory_hit_ratio') * 100:.1f} "
                                f"| {mean(all_rows, 'written'):.2f} | {percent(scanned)} | {scanned['written']:.2f} |")
    for share in shares:
        print("\n".join(lines[share]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulator", required=True, help="the binary; `make hit-ratio` builds it")
    parser.add_argument("--tier", choices=["memory", "disk", "choices"], default="memory")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--shares", default="0.01,0.05,0.1", help="cache sizes as shares of all distinct bytes")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.tier == "choices":
        return choices(args)
    if not libcachesim:
        sys.exit("libcachesim is missing: run `make hit-ratio`, which installs it")
    mine = ["Seawall"] if args.tier == "memory" else ["disk", "written", "memory and disk", "of them from memory", "written"]
    others = OTHERS if args.tier == "memory" else OTHERS[:3]
    columns = mine + ["LRU", "S3-FIFO", "Belady", "Belady by size"][:len(others)]
    print(f"{args.requests} requests, seed {args.seed}; each cell: objects % / bytes % that were hits.\n")
    print("| trace | asked for once | cache | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 3) + "|")
    with scratch("traces") as (folder, _):
        path = os.path.join(folder, "trace")
        for name, recipe in TRACES:
            if args.tier == "memory":
                found = simulate(args, "memory", recipe, path)
                rows = [(row, [percent(row)]) for row in found["seawall"]]
            else:
                found, both = (simulate(args, tier, recipe, path) for tier in ("disk", "both"))
                rows = [(row, [percent(row), f"{row['write_amplification']:.2f}", percent(two),
                               f"{two['memory_hit_ratio'] * 100:.1f}", f"{two['write_amplification']:.2f}"])
                        for row, two in zip(found["seawall"], both["seawall"])]
            for row, cells in rows:
                for algorithm in others:
                    objects, bytes_ = other(algorithm, path, row["bytes"])
                    cells.append(f"{objects * 100:.1f} / {bytes_ * 100:.1f}")
                room = f"{row['share'] * 100:g} % ({row['bytes'] / 2**30:.1f} GiB)"
                print(f"| {name} | {found['once'] * 100:.0f} % of objects | {room} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
