"""The folder of a benchmark, and its servers: gone at the end, whatever that was."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile


@contextlib.contextmanager
def scratch(name, within=None):
    """A new folder (in `within`, where it matters which disk), and a list: what is put on it is stopped before the folder goes."""
    # Without this a script that is asked to end goes on the spot, and its servers stay.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with contextlib.ExitStack() as cleaning:
        folder = tempfile.mkdtemp(prefix=f"seawall-{name}-", dir=within)
        cleaning.callback(shutil.rmtree, folder, ignore_errors=True)
        # Workers of a root nginx run as nobody: the folder must let them in.
        os.chmod(folder, 0o755)
        servers = []
        try:
            yield folder, servers
        finally:
            # A server that cannot be stopped keeps neither the others nor the folder.
            for server in servers:
                cleaning.callback(server.stop)
