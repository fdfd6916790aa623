"""The caches that are compared: how each is configured, started in the foreground and asked for its version.

A configuration is a file beside this one, with @PORT@, @ORIGIN@ (the port of the suite's origin) and @DIR@ in it. The
folder is a temporary one, open to the user that a server started by root changes to.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def program(name):
    """The path of an installed program, or None."""
    return shutil.which(name, path=PATH)


def said(*command):
    """Everything a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


class Peer:
    """One cache."""

    def __init__(self, name, binary, config, command, version, prepare=None):
        self.name, self.binary, self.config = name, binary, config
        self._command, self._version, self._prepare = command, version, prepare

    def path(self):
        return program(self.binary)

    def version(self):
        flag, pattern = self._version
        found = re.search(pattern, said(self.path(), *flag))
        return found.group(1) if found else "?"

    def command(self, folder, port, origin):
        """Writes the configuration into `folder` and returns the command that serves in the foreground."""
        for name in ("cache", "log", "run", "etc"):
            (folder / name).mkdir()
            (folder / name).chmod(0o777)
        text = (HERE / self.config).read_text()
        for mark, value in (("@PORT@", port), ("@ORIGIN@", origin), ("@DIR@", folder)):
            text = text.replace(mark, str(value))
        file = folder / self.config
        file.write_text(text)
        if self._prepare:
            self._prepare(folder, file, origin)
        return [self.path()] + [part.format(dir=folder, file=file, port=port) for part in self._command]


def traffic_server(folder, file, origin):
    """Traffic Server reads a folder of files and takes its layout from `runroot.yaml`."""
    etc = folder / "etc"
    shutil.copytree("/etc/trafficserver", etc, dirs_exist_ok=True)
    with open(etc / "records.config", "a", encoding="utf-8") as records:
        records.write(file.read_text())
    (etc / "remap.config").write_text(f"map / http://127.0.0.1:{origin}/\n")
    (etc / "storage.config").write_text(f"{folder}/cache 256M\n")
    layout = {
        "prefix": folder, "exec_prefix": folder, "bindir": "/usr/bin", "sbindir": "/usr/sbin", "sysconfdir": etc,
        "datadir": "/usr/share/trafficserver", "includedir": "/usr/include", "libdir": "/usr/lib/trafficserver",
        "libexecdir": "/usr/lib/trafficserver/modules", "localstatedir": folder / "run", "runtimedir": folder / "run",
        "logdir": folder / "log", "mandir": "/usr/share/man", "infodir": "/usr/share/info",
        "cachedir": folder / "cache",
    }
    (folder / "runroot.yaml").write_text("".join(f"{key}: {value}\n" for key, value in layout.items()))


PEERS = [
    Peer("nginx", "nginx", "nginx.conf", ["-p", "{dir}", "-c", "{file}", "-e", "stderr"], (["-v"], r"nginx/(\S+)")),
    Peer(
        "Varnish", "varnishd", "varnish.vcl",
        ["-F", "-n", "{dir}/run", "-a", "127.0.0.1:{port}", "-f", "{file}", "-s", "malloc,64M",
         "-p", "default_ttl=0", "-p", "default_grace=0", "-p", "default_keep=3600"],
        (["-V"], r"varnish-(\S+)"),
    ),
    Peer("Squid", "squid", "squid.conf", ["-N", "-f", "{file}"], (["-v"], r"Version (\S+)")),
    Peer(
        "Apache Traffic Server", "traffic_server", "trafficserver.config", ["--run-root={dir}/runroot.yaml"],
        (["-V"], r"Traffic Server (\d\S+)"), traffic_server,
    ),
    Peer("Apache httpd", "apache2", "httpd.conf", ["-f", "{file}", "-D", "FOREGROUND"], (["-v"], r"Apache/(\S+)")),
    Peer("HAProxy", "haproxy", "haproxy.cfg", ["-db", "-f", "{file}"], (["-v"], r"version (\S+)")),
]
