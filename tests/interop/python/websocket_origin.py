"""A WebSocket origin.

    /echo          sends every message back
    /close/CODE    says goodbye with this code at once
    /refuse        answers 403 instead of 101
    /push/N        sends N messages and closes

Says how each connection ended: {"path": ..., "code": ..., "reason": ...}.
"""

import asyncio
import contextlib
import http
import json
import ssl
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def say(**what):
    print(json.dumps(what), flush=True)


def refuse(connection, request):
    if request.path == "/refuse":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "not today\n")
    return None


async def handle(socket):
    path = socket.request.path
    say(path=path, headers={name.lower(): value for name, value in socket.request.headers.raw_items()})
    if path.startswith("/close/"):
        await socket.close(int(path.removeprefix("/close/")), "the origin has had enough")
    elif path.startswith("/push/"):
        for number in range(int(path.removeprefix("/push/"))):
            await socket.send(f"message {number}")
        await socket.close()
    else:
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                await socket.send(message)
    await socket.wait_closed()
    say(path=path, code=socket.close_code, reason=socket.close_reason)


async def main(cert=None, key=None):
    tls = None
    if cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(cert, key)
    # Pings only where a test sends them.
    server = await serve(handle, "127.0.0.1", 0, ssl=tls, process_request=refuse, ping_interval=None, max_size=None)
    say(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
