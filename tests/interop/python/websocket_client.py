"""A WebSocket client: websocket_client.py URL ADDRESS CA SCENARIO [ARGUMENT]

Connects to ADDRESS for URL, plays one scenario and says what came of it.
"""

import asyncio
import contextlib
import hashlib
import json
import random
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


async def echo(socket):
    """Text, binary, empty and large messages, one in fragments, and messages in flight at once."""
    data = random.Random(1).randbytes(5 * 1024 * 1024)
    messages = ["hello", "grüße ☃", b"\x00\xff" * 500, b"", "", "x" * 70_000, data]
    same = []
    for message in messages:
        await socket.send(message)
        same.append(await socket.recv() == message)
    await socket.send(["in ", "three ", "fragments"])
    fragments = await socket.recv()
    many = [f"message {number}" for number in range(300)]
    await asyncio.gather(*(socket.send(message) for message in many))
    order = [await socket.recv() for _ in many]
    return {"same": same, "fragments": fragments, "in_order": order == many,
            "sha256": hashlib.sha256(data).hexdigest()}


async def ping(socket):
    """The origin's library answers a ping; the round trip shows that control frames pass."""
    waiter = await socket.ping(b"are you there")
    return {"pong_after": await asyncio.wait_for(waiter, 10)}


async def close(socket, code):
    await socket.close(int(code), "the client has had enough")
    return {}


async def drain(socket):
    messages = []
    try:
        while True:
            messages.append(await socket.recv())
    except ConnectionClosed:
        return {"messages": messages}


async def wait(socket, seconds):
    """Says nothing for so long, then once something."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(socket.wait_closed(), float(seconds))
    await socket.send("still here")
    return {"answer": await socket.recv()}


async def listen(socket, seconds):
    """Speaks and is answered for twice as long, with pauses of a tenth."""
    pause = float(seconds) / 10
    for _ in range(20):
        await asyncio.sleep(pause)
        await socket.send("tick")
        await socket.recv()
    return {"ticks": 20}


SCENARIOS = {f.__name__: f for f in (echo, ping, close, drain, wait, listen)}


async def main(url, address, ca, scenario, *arguments):
    host, port = address.rsplit(":", 1)
    tls = ssl.create_default_context(cafile=ca) if url.startswith("wss:") else None
    try:
        async with connect(url, host=host, port=int(port), ssl=tls, proxy=None, max_size=None,
                           ping_interval=None, compression="deflate") as socket:
            found = {"extensions": socket.response.headers.get("sec-websocket-extensions")}
            try:
                found |= await SCENARIOS[scenario](socket, *arguments)
            except ConnectionClosed:
                found["cut"] = True
        return found | {"code": socket.close_code, "reason": socket.close_reason}
    except InvalidStatus as refusal:
        return {"status": refusal.response.status_code, "body": refusal.response.body.decode()}


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
