#!/usr/bin/env python3
"""A worker of gosper's gate, in Python's standard library alone.

It adds functions of its own to a running node:

    gosper serve --beanstalk-addr 127.0.0.1:11300
    python3 worker.py --beanstalk 127.0.0.1:11300 --gate 127.0.0.1:8201

A client then calls them like any other function. The node has checked the token; data["unique_id"] is the account:

    {"world":"0","function":"roll_dice","data":{"token":"...","sides":6}}

Run as many as you like. A job whose worker dies is done by another, so a function should bear to be run twice.
"""

import argparse
import json
import random
import socket


def roll_dice(world, data):
    sides = data.get("sides", 6)
    if not isinstance(sides, int) or not 2 <= sides <= 1000:
        return 99, "sides must be a whole number from 2 to 1000", {}
    return 0, "OK", {"n": random.randint(1, sides), "unique_id": data.get("unique_id"), "world": world}


def shout(world, data):
    return 0, "OK", {"text": str(data.get("text", "")).upper()}


FUNCTIONS = {"roll_dice": roll_dice, "shout": shout}


class Lines:
    """A connection that speaks in lines."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data + b"\r\n")

    def line(self):
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        return line[:-2]

    def body(self, size):
        return self.reader.read(size + 2)[:-2]


def answer(request):
    """Runs the function of a request and returns the response as bytes."""
    function = FUNCTIONS.get(request["function"])
    if function is None:
        status, message, data = 10, "unknown function", {}
    else:
        try:
            status, message, data = function(request["world"], request["data"])
        except Exception as error:  # one bad request must not end the worker
            print("error in", request["function"], error, flush=True)
            status, message, data = -1, "programming error", {}
    return json.dumps({"status": status, "message": message, "data": data}).encode()


def main():
    flags = argparse.ArgumentParser(description="a worker of gosper's gate")
    flags.add_argument("--beanstalk", default="127.0.0.1:11300", help="host:port of the beanstalkd protocol")
    flags.add_argument("--gate", default="127.0.0.1:8201", help="host:port of the gate's worker port")
    options = flags.parse_args()
    queue, gate = Lines(options.beanstalk), Lines(options.gate)
    queue.send(b"watch jobs")
    queue.line()
    print("ready", flush=True)
    while True:
        queue.send(b"reserve")
        word, *numbers = queue.line().split()
        if word != b"RESERVED":
            continue  # DEADLINE_SOON: an earlier job ends within a second
        job, size = int(numbers[0]), int(numbers[1])
        job_id, request = queue.body(size).split(b"~", 1)
        gate.send(job_id + b"~" + answer(json.loads(request)))
        queue.send(b"delete %d" % job)
        queue.line()


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, ConnectionError):
        pass
