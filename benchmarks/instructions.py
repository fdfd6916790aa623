#!/usr/bin/env python3
"""Instructions in user space and system calls per request, of Seawall and nginx: what a busy machine does not blur.

Instructions are counted by valgrind's callgrind, whose output (--keep FOLDER) `callgrind_annotate` reads as a profile, and
calls by strace, over requests one behind the other on one connection. Time is what bench.py and disk.py measure: an instruction
in a small loop over what is at hand costs a tenth of one that meets cold code or data, and the kernel's part is not in here.
The origin's own counter proves that a hit was one.

    python3 benchmarks/instructions.py --seawall target/release/seawall
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from bench import Server, free_port, nginx_conf, origin_conf, origin_count, seawall_conf
from scratch import scratch

# Path, requests, objects that are asked for in turn (none: always the same), and how many of the requests reach the origin.
CASES = {
    "hit, 1 KiB": ("/cached/1k", 1000, 0, 0),
    "hit, 100 KiB": ("/cached/100k", 1000, 0, 0),
    "pass-through, 1 KiB": ("/passed/1k", 1000, 0, 1000),
    "miss, 1 KiB": ("/missed/", 1000, 1000, 1000),
    "miss, 1 MiB": ("/cached/1m?fill=", 48, 48, 48),
    "miss to disk, 1 MiB": ("/cached/1m?fill=", 48, 48, 48),
    "hit from disk, 1 KiB": ("/cached/1k?disk=", 1000, 4000, 0),
    "hit from disk, 1 MiB": ("/cached/1m?disk=", 48, 24, 0),
}


def configuration(name, port, origin, folder, on_disk):
    if name == "nginx":
        text = nginx_conf(port, origin, folder).replace("max_size=256m", "max_size=4g")
        # Neither reads what it keeps in memory otherwise: the file goes through the process, as Seawall's does.
        return "master_process off;\n" + (text.replace("sendfile on", "sendfile off") if on_disk else text)
    disk = f"memory: 4MiB, memory_object: 64KiB, disk: {{ path: {folder}/cache, size: 4GiB }}"
    return seawall_conf(port, origin, folder).replace("memory: 256MiB", disk if on_disk else "memory: 256MiB")


def walk(port, paths, requests):
    urls = "".join(f"http://127.0.0.1:{port}{path}\n" for path in paths)
    out = subprocess.run(["h2load", "--h1", "-n", str(requests), "-c", "1", "-t", "1", "-i", "-"],
                         input=urls, capture_output=True, text=True, timeout=600).stdout
    good = int(re.search(r"status codes: (\d+) 2xx", out).group(1))
    if good != requests:
        sys.exit(f"{good} of {requests} requests answered with 2xx\n{out}")


def instructions(server, run, out):
    pid = str(server.process.pid)
    subprocess.run(["callgrind_control", "-i", "on", pid], check=True, capture_output=True)
    run()
    for order in (["-i", "off"], ["-d"]):
        subprocess.run(["callgrind_control", *order, pid], check=True, capture_output=True)
    with open(out + ".1") as f:
        return int(re.findall(r"^totals: (\d+)", f.read(), re.M)[-1])


def calls(server, run, out):
    tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out, "-p", str(server.process.pid)], stderr=subprocess.PIPE)
    # It says so once it has attached to all threads.
    tracer.stderr.readline()
    run()
    tracer.send_signal(signal.SIGINT)
    tracer.wait()
    with open(out) as f:
        rows = [line.split() for line in f]
    # Two sleep on their own, whatever is asked of the server: the clock and the upkeep.
    return sum(int(row[3]) for row in rows
               if len(row) >= 5 and row[3].isdigit() and row[-1] not in ("total", "clock_nanosleep"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seawall", required=True, help="the release binary")
    parser.add_argument("--only", default="", help="only cases with this in their name")
    parser.add_argument("--keep", help="a folder for callgrind's output")
    args = parser.parse_args()
    if args.keep:
        os.makedirs(args.keep, exist_ok=True)
    os.environ["PATH"] += ":/usr/sbin"
    for tool in ("h2load", "nginx", "valgrind", "strace"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: run `make bench-instructions`, which installs it")
    with scratch("instructions") as (folder, servers):
        for kind in ("cached", "passed"):
            os.makedirs(f"{folder}/www/{kind}")
            for name, size in (("1k", 1 << 10), ("100k", 100 << 10), ("1m", 1 << 20)):
                with open(f"{folder}/www/{kind}/{name}", "wb") as f:
                    f.write(os.urandom(size))
        origin = free_port()
        with open(f"{folder}/origin.conf", "w") as f:
            f.write(origin_conf(origin, folder))
        servers.append(Server("origin", ["nginx", "-p", folder, "-c", f"{folder}/origin.conf"], origin, 1))
        print("| case | instructions: Seawall | nginx | system calls: Seawall | nginx |")
        print("|---|---|---|---|---|")
        for case, (path, requests, objects, expected) in CASES.items():
            if args.only not in case:
                continue
            cells = {}
            for name in ("seawall", "nginx"):
                for way in (instructions, calls):
                    own = tempfile.mkdtemp(prefix=f"{name}-", dir=folder)
                    port, out = free_port(), f"{own}/{way.__name__}"
                    with open(f"{own}/conf", "w") as f:
                        f.write(configuration(name, port, origin, own, "disk" in case))
                    argv = [os.path.abspath(args.seawall), "run"] if name == "seawall" else ["nginx", "-p", own, "-c"]
                    watch = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "-q", f"--callgrind-out-file={out}"]
                    server = Server(name, [*(watch if way is instructions else []), *argv, f"{own}/conf"], port, 0)
                    servers.append(server)

                    def targets(round_number):
                        if not objects:
                            return [path]
                        again = f"{round_number}/" if expected else ""
                        return [f"{path}{again}{number}" for number in range(objects)]

                    for round_number in range(3):
                        walk(port, targets(round_number), objects or 300)
                        if "disk" in case and round_number == 0:
                            # What is written behind the client's back is on its way.
                            time.sleep(5)
                    before = origin_count(origin)
                    counted = way(server, lambda: walk(port, targets("last"), requests), out)
                    asked = origin_count(origin) - before - 1
                    if asked != expected:
                        sys.exit(f"{name}, {case}: {asked} of {requests} requests reached the origin")
                    cells[name, way] = counted / requests
                    if args.keep and way is instructions:
                        shutil.copy(out + ".1", f"{args.keep}/{name}-{case.replace(', ', '-').replace(' ', '-')}")
                    server.stop()
            print(f"| {case} | {cells['seawall', instructions]:,.0f} | {cells['nginx', instructions]:,.0f} "
                  f"| {cells['seawall', calls]:.1f} | {cells['nginx', calls]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
