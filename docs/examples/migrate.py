#!/usr/bin/env python3
"""Migrates guests by sluice's API: an example that needs the standard library alone.

    migrate.py migrate GUEST PEER [OPTION=VALUE...]    such as postcopy=true
    migrate.py follow GUEST|SESSION
    migrate.py list

The options are the members of MigrateRequest in openapi.yaml. Ctrl-C cancels a migration, and waits
for its result. Exit status: 0 moved, 1 failed, 2 wrong use, 3 cancelled, 4 not known.
"""

import http.client
import json
import os
import signal
import socket
import sys
import urllib.parse

SOCKET = os.environ.get("SLUICE_SOCKET", "/run/sluice/control.sock")
STATUS = {"moved": 0, "done": 0, "failed": 1, "cancelled": 3}  # any other: 4


class Refused(Exception):
    """The daemon has refused a request, and has started nothing."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Daemon(http.client.HTTPConnection):
    """A connection to the daemon for one request."""

    def __init__(self):
        super().__init__("sluice")  # the name is never looked up

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)

    def ask(self, method, path, body=None):
        """Returns the answer's objects, one after the other: one, or those of a stream."""
        self.request(method, path, None if body is None else json.dumps(body))
        answer = self.getresponse()
        if answer.status != 200:
            raise Refused(answer.status, json.load(answer)["error"])
        for line in answer:
            yield json.loads(line)

    def cancel(self, *_):
        """Ends this half of the connection: the daemon cancels, and still sends the result."""
        if self.sock:
            self.sock.shutdown(socket.SHUT_WR)


def watch(daemon, method, path, body=None):
    """Shows the progress of a stream, and returns its last object."""
    for event in daemon.ask(method, path, body):
        if "progress" not in event:
            return event
        p = event["progress"]
        print(f"{p['phase']:9} {p['percent']:5.1f} %  {p['rate'] / 2**20:8.1f} MiB/s", p.get("stalled", ""), file=sys.stderr)
    raise ConnectionError("the daemon ended the connection before the migration's end; its log says why")


def migrate(guest, peer, *options):
    body = {"guest": guest, "peer": peer}
    for option in options:
        name, _, value = option.partition("=")
        try:
            body[name] = json.loads(value)
        except ValueError:
            body[name] = value  # a word
    daemon = Daemon()
    signal.signal(signal.SIGINT, daemon.cancel)
    signal.signal(signal.SIGTERM, daemon.cancel)
    result = watch(daemon, "POST", "/v1/migrate", body)["result"]
    print(result["message"])
    return STATUS.get(result["outcome"], 4)


def follow(name):
    session = watch(Daemon(), "GET", f"/v1/sessions/{urllib.parse.quote(name, safe='')}/events")["session"]
    print(session.get("outcome", ""), session.get("cause", ""))
    return STATUS.get(session.get("outcome"), 4)


def show():
    (status,) = Daemon().ask("GET", "/v1/status")
    for s in status["sessions"]:
        percent = s.get("progress", {}).get("percent", 0)
        print(s["id"], s.get("guest", "-"), s["direction"], s["peer"], s["phase"], f"{percent:.0f} %")
    (guests,) = Daemon().ask("GET", "/v1/guests")
    for g in guests["guests"]:
        print(g["uuid"], g["name"], "runs" if g["active"] else "is defined")
    return 0


def main(command="", *args):
    commands = {"migrate": (migrate, len(args) >= 2), "follow": (follow, len(args) == 1), "list": (show, not args)}
    run, well = commands.get(command, (None, False))
    if not well:
        print(__doc__, file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return run(*args)
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 2 if refusal.code in (400, 403, 404) else 1
    except (ConnectionRefusedError, FileNotFoundError) as why:
        print(f"no sluice daemon at {SOCKET}: {why}", file=sys.stderr)
        return 1
    except (OSError, http.client.HTTPException) as why:
        print(f"the outcome is not known: {why}", file=sys.stderr)
        return 4


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
