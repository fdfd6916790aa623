"""Asks REDbot about a URL and prints what it notes: one JSON object a note.

It makes the request and then those with which it tests content negotiation, ranges and conditions. A response that did
not come is a note of the level `failed`.
"""

import json
import sys
from configparser import ConfigParser

import thor
from redbot.resource import HttpResource


def config():
    parser = ConfigParser()
    parser.read_dict({"redbot": {"enable_local_access": "True"}})
    return parser["redbot"]


def flat(notes):
    for note in notes:
        yield note
        yield from flat(note.subnotes)


def show(level, kind, text):
    print(json.dumps({"level": level, "kind": kind, "text": text}))


def check(url):
    resource = HttpResource(config())
    resource.set_request(url)

    @thor.events.on(resource)
    def check_done():
        # What the last of the requests has to say comes in the same turn of the loop.
        thor.schedule(0.1, thor.stop)

    resource.check()
    thor.run()
    if not resource.has_response or not resource.response.complete:
        show("failed", type(resource.fetch_error).__name__, str(resource.fetch_error))
    for name, request in resource.subreqs.items():
        if request.fetch_error is not None:
            show("failed", name, str(request.fetch_error))
    for note in flat(resource.response.notes):
        show(note.level.value, type(note).__name__, str(note.summary))


check(sys.argv[1])
