"""A python-socketio client that is told what to do by lines of JSON, and says what happens in lines of JSON.

    {"do": "connect", "url": URL, "auth": {...},   -> {"connected": {"sid": ..., "pid": ...}, "transport": ...,
     "transports": [...], "namespaces": [...]}         "greetings": {NAMESPACE: {...}}}
    {"do": "emit", "event": NAME, "args": [...],   -> {"ack": ...}
     "namespace": "/..."}
    {"do": "cut"}                                  -> {"cut": true}, the connection is dropped without goodbye
    and for every event                               {"event": NAME, "namespace": "/...", "args": [...]}, the offset last

Bytes are {"base64": TEXT} on the way in and out. The argument "sync" takes the client with threads instead of the one with asyncio.

python-socketio has no recovery code. It is made by hand here, as any application can: keep the `pid` of the CONNECT packet and
the offset of the last event, and present both as `auth` when connecting again.
"""

import asyncio
import base64
import json
import sys
import threading

import socketio

WAIT_SECONDS = 120
OWN_EVENTS = ("connect", "connect_error", "disconnect", "__disconnect_final")

saying = threading.Lock()


def say(**what):
    with saying:
        print(json.dumps(what, default=lambda data: {"base64": base64.b64encode(data).decode()}), flush=True)


def with_bytes(value):
    """The value with bytes where {"base64": ...} stood for them."""
    if isinstance(value, list):
        return [with_bytes(item) for item in value]
    if isinstance(value, dict):
        if list(value) == ["base64"]:
            return base64.b64decode(value["base64"])
        return {key: with_bytes(item) for key, item in value.items()}
    return value


def options_of(order):
    return {
        "auth": order.get("auth"),
        "transports": order.get("transports", ["websocket"]),
        "namespaces": order.get("namespaces"),
        "wait_timeout": WAIT_SECONDS,
    }


def say_event(client, event, namespace, args):
    """A poll that was under way at the cut may still bring something: that comes again when the session is recovered."""
    if event not in OWN_EVENTS and not client.was_cut:
        say(event=event, namespace=namespace, args=list(args))


def say_connected(client):
    first = next(iter(client.greetings))
    say(connected=client.greetings[first], greetings=client.greetings, transport=client.transport())


def say_ack(ack):
    say(ack=ack[0] if len(ack) == 1 else list(ack))


class AsyncClient(socketio.AsyncClient):
    """The stock client, but it remembers what came with CONNECT."""

    was_cut = False

    async def _handle_connect(self, namespace, data):
        self.greetings[namespace or "/"] = data
        await super()._handle_connect(namespace, data)

    async def _trigger_event(self, event, namespace, *args):
        say_event(self, event, namespace, args)
        return await super()._trigger_event(event, namespace, *args)


class SyncClient(socketio.Client):
    """The same with threads."""

    was_cut = False

    def _handle_connect(self, namespace, data):
        self.greetings[namespace or "/"] = data
        super()._handle_connect(namespace, data)

    def _trigger_event(self, event, namespace, *args):
        say_event(self, event, namespace, args)
        return super()._trigger_event(event, namespace, *args)


async def emit(client, order):
    answer = asyncio.get_running_loop().create_future()
    args = tuple(with_bytes(order["args"]))
    await client.emit(order["event"], args, namespace=order.get("namespace"), callback=lambda *ack: answer.set_result(ack))
    say_ack(await asyncio.wait_for(answer, WAIT_SECONDS))


async def run_async():
    loop = asyncio.get_running_loop()
    client = None
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            break
        order = json.loads(line)
        if order["do"] == "connect":
            client = AsyncClient(reconnection=False)
            client.greetings = {}
            await client.connect(order["url"], **options_of(order))
            say_connected(client)
        elif order["do"] == "emit":
            await emit(client, order)
        elif order["do"] == "cut":
            client.was_cut = True
            await client.eio.disconnect(abort=True)
            say(cut=True)
    if client is not None and client.connected:
        await client.disconnect()


def run_sync():
    client = None
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "connect":
            client = SyncClient(reconnection=False)
            client.greetings = {}
            client.connect(order["url"], **options_of(order))
            say_connected(client)
        elif order["do"] == "emit":
            answer, done = [], threading.Event()
            args = tuple(with_bytes(order["args"]))
            client.emit(order["event"], args, namespace=order.get("namespace"), callback=lambda *ack: (answer.extend(ack), done.set()))
            if not done.wait(WAIT_SECONDS):
                raise TimeoutError(order["event"])
            say_ack(answer)
        elif order["do"] == "cut":
            client.was_cut = True
            client.eio.disconnect(abort=True)
            say(cut=True)
    if client is not None and client.connected:
        client.disconnect()


if __name__ == "__main__":
    if sys.argv[1:] == ["sync"]:
        run_sync()
    else:
        asyncio.run(run_async())
