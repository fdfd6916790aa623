"""A gRPC client: grpc_client.py ADDRESS CA|- SCENARIO [ARGUMENT]

Calls example.com at ADDRESS, over TLS when a CA is given, plays one scenario and says what came of it.
"""

import hashlib
import json
import queue
import sys
import time

import grpc

PATIENCE = 20


def channel(address, ca):
    options = [("grpc.default_authority", "example.com"), ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
    if ca == "-":
        return grpc.insecure_channel(address, options)
    with open(ca, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    return grpc.secure_channel(address, credentials, [*options, ("grpc.ssl_target_name_override", "example.com")])


def plain(metadata):
    """Without what a proxy adds to any answer."""
    added = ("date", "via", "x-request-id")
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in metadata if key not in added}


def outcome(call):
    """How a call ended; waits for it."""
    return {"code": call.code().name, "details": call.details(), "trailing": plain(call.trailing_metadata())}


def unary(channel):
    method = channel.unary_unary("/test.Echo/Unary")
    same = []
    for size in (0, 11, 100_000, 3 * 1024 * 1024):
        message = bytes(number % 251 for number in range(size))
        answer, call = method.with_call(message, timeout=PATIENCE, metadata=(("x-from", "the client"),))
        same.append(answer == message)
    return {"same": same, "initial": plain(call.initial_metadata())} | outcome(call)


def streams(channel):
    counted = [int(message.split()[0]) for message in channel.unary_stream("/test.Echo/Count")(b"500", timeout=PATIENCE)]
    pieces = [bytes([number]) * 32768 for number in range(100)]
    collected = json.loads(channel.stream_unary("/test.Echo/Collect")(iter(pieces), timeout=PATIENCE))
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()
    # Each message is only sent when the answer to the one before is here.
    talk, answers = queue.Queue(), []
    chat = channel.stream_stream("/test.Echo/Chat")(iter(talk.get, None), timeout=PATIENCE)
    for number in range(50):
        talk.put(b"%d" % number)
        answers.append(next(chat).decode())
    talk.put(None)
    return {"counted": counted == list(range(500)), "collected": collected == [100 * 32768, digest],
            "chat": answers == [f"you said {number}" for number in range(50)], "left": len(list(chat))} | outcome(chat)


def pause(channel, seconds):
    """A stream that stays open while neither side says anything."""
    talk = queue.Queue()
    chat = channel.stream_stream("/test.Echo/Chat")(iter(talk.get, None), timeout=PATIENCE)
    answers = []
    for message in (b"before", b"after"):
        talk.put(message)
        answers.append(next(chat).decode())
        time.sleep(float(seconds))
    talk.put(None)
    return {"answers": answers, "left": len(list(chat))} | outcome(chat)


def parallel(channel, calls):
    method = channel.unary_unary("/test.Echo/Unary")
    futures = [method.future(b"%d" % number, timeout=PATIENCE) for number in range(int(calls))]
    return {"right": sum(future.result() == b"%d" % number for number, future in enumerate(futures))}


def call(channel, method, size="0"):
    try:
        _, done = channel.unary_unary(f"/test.Echo/{method}").with_call(bytes(int(size)), timeout=PATIENCE)
    except grpc.RpcError as failed:
        done = failed
    return outcome(done)


def midway(channel):
    call, messages = channel.unary_stream("/test.Echo/FailMidway")(b"", timeout=PATIENCE), []
    try:
        messages.extend(message.decode() for message in call)
    except grpc.RpcError:
        pass
    return {"messages": messages} | outcome(call)


def deadline(channel, seconds):
    call = channel.unary_stream("/test.Echo/Hang")(b"deadline", timeout=float(seconds))
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass
    return outcome(call)


def cancel(channel):
    """No deadline: only the reset of its stream tells the origin."""
    call = channel.unary_stream("/test.Echo/Hang")(b"cancel")
    first = next(call)
    call.cancel()
    return {"first": first.decode()} | outcome(call)


def leave(channel):
    """Begins a call and waits to be killed."""
    call = channel.unary_stream("/test.Echo/Hang")(b"leave")
    print(json.dumps({"first": next(call).decode()}), flush=True)
    next(call)


SCENARIOS = {f.__name__: f for f in (unary, streams, pause, parallel, call, midway, deadline, cancel, leave)}

address, ca, scenario, *arguments = sys.argv[1:]
with channel(address, ca) as opened:
    print(json.dumps(SCENARIOS[scenario](opened, *arguments)))
