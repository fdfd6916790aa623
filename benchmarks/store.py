#!/usr/bin/env python3
"""A disk with very many objects: how fast it is filled, how long a restart takes, what an object takes of memory, and how long
purges by tag take.

The program `objects` (crates/store/examples) uses the store itself, without HTTP. It fills a folder and ends on the spot, as after a
kill -9; opens it again; closes it; opens it once more; and purges by tag. Then it is started some times more, and purges by tag as the
first thing it does, while objects are still being found, and once more when they are; with `--beside` all this while small files are
written to the same disk. Before each start the page cache is emptied (as root). The release binary starts on the same folder, too: how
long until it answers a request.

    python3 benchmarks/store.py --objects target/release/examples/objects --seawall target/release/seawall --counts 1000000
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error

from bench import fetch, free_port
from disk import drop_caches
from scratch import scratch


def run(argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=3600)
    if done.returncode:
        sys.exit(f"{' '.join(argv)}: {done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def start(seawall, folder, cache, gib):
    """Seconds from the start of the release binary on `cache` to its first answer, and until all is found again; its RSS in MiB."""
    port, metrics = free_port(), free_port()
    conf = f"{folder}/seawall.yaml"
    with open(conf, "w") as f:
        f.write(f"""
listeners: [{{ address: "127.0.0.1:{port}" }}]
metrics: {{ listen: "127.0.0.1:{metrics}" }}
access_log: {{ format: "off" }}
cache: {{ memory: 16MiB, disk: {{ path: {cache}, size: {gib}GiB }} }}
sites: [{{ hosts: localhost, default: true, routes: [{{ path: /, respond: {{ status: 200, body: "up" }} }}] }}]
""")
    began = time.monotonic()
    process = subprocess.Popen([seawall, "run", conf], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    answered = None
    try:
        while True:
            took = time.monotonic() - began
            if process.poll() is not None or took > 600:
                sys.exit(f"{seawall}: {process.stderr.read().decode()[-2000:] if process.poll() is not None else 'no end'}")
            try:
                if answered is None:
                    fetch(port, "/")
                    answered = time.monotonic() - began
                ratio = re.search(r"^seawall_disk_recovered_ratio{.*} (\S+)$", fetch(metrics, "/metrics").decode(), re.M)
                if ratio and float(ratio.group(1)) == 1:
                    took = time.monotonic() - began
                    with open(f"/proc/{process.pid}/status") as f:
                        return answered, took, int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) / 1024
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def beside(folder, rate):
    """Writes `rate` MB/s of small files into `folder` meanwhile, over and over."""
    done = threading.Event()

    def write():
        number = 0
        while rate and not done.wait(0.05):
            for _ in range(rate * 5 // 2):
                number = (number + 1) % 2000
                with open(f"{folder}/{number}", "wb") as f:
                    f.write(os.urandom(20_000))

    os.makedirs(folder, exist_ok=True)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", required=True, help="the example `objects` of the store, built in release")
    parser.add_argument("--seawall", help="the release binary; its start is left out without it")
    parser.add_argument("--folder", help="on the disk to measure; a temporary one by default")
    parser.add_argument("--counts", default="1000000,10000000")
    parser.add_argument("--starts", type=int, default=20, help="for the first purge")
    parser.add_argument("--beside", type=int, default=0, help="MB/s of small files that are written during those")
    parser.add_argument("--bytes", type=int, default=100, help="of each body; a record takes some 450 more")
    args = parser.parse_args()
    print("| objects | start | ready, s | all found, s | index, bytes an object | resident, bytes an object |")
    print("|---|---|---|---|---|---|")
    notes = []
    for count in map(int, args.counts.split(",")):
        with scratch("store-bench", args.folder) as (folder, _):
            cache, gib = f"{folder}/cache", max(1, count * (args.bytes + 700) * 5 // 4 // 2**30 + 1)
            base = [os.path.abspath(args.objects)]
            [filled] = run([*base, "fill", cache, str(gib), str(count), str(args.bytes)])
            seconds = filled["seconds"]
            notes.append(f"{count:,} objects of {args.bytes} bytes were written in {seconds:.0f} s: {count / seconds:,.0f} objects and "
                         f"{filled['bytes'] / seconds / 2**20:.0f} MiB a second")
            firsts = []
            for how, command in (("after kill -9", "open"), ("after a clean stop", "purge")):
                # The runs that purge by tag purge nothing yet.
                with beside(f"{folder}/beside", args.beside):
                    for _ in range(args.starts if command == "purge" else 0):
                        drop_caches()
                        firsts += run([*base, "first", cache, str(gib)])
                if how != "after kill -9" and args.seawall:
                    drop_caches()
                    answered, took, rss = start(os.path.abspath(args.seawall), folder, cache, gib)
                    notes.append(f"{count:,} objects: the whole program answers {answered * 1000:.0f} ms after its start, has found "
                                 f"everything after {took:.2f} s, and holds {rss:.0f} MiB then")
                cold = drop_caches()
                row, *purges = run([*base, command, cache, str(gib)])
                objects = row["objects"]
                if objects < count * 0.99 or row["found_of_1000"] < 990:
                    sys.exit(f"{objects} of {count} objects are there, {row['found_of_1000']} of 1000 are found")
                print(f"| {objects:,} | {how}{', cold' if cold else ''} | {row['ready_seconds']:.3f} | {row['found_seconds']:.2f} "
                      f"| {row['index_bytes'] / objects:.1f} | {row['resident_bytes'] / objects:.1f} |", flush=True)
                notes += [f"{count:,} objects: purge of {p['purge']} acknowledged after {p['ms']:.2f} ms; of 1000 looked for, "
                          f"{p['left_of_1000']} are found then" for p in purges]
            for key, when in (("first_ms", "the first purge of a process"), ("next_ms", "the next one, when all is found")):
                times = sorted(row[key] for row in firsts)
                if times:
                    notes.append(f"{count:,} objects, {len(times)} starts: {when} acknowledged after {times[len(times) // 2]:.2f} ms in the "
                                 f"median, {times[-1]:.2f} ms at most")
    print("\n" + "\n".join(f"- {note}" for note in notes))


if __name__ == "__main__":
    main()
