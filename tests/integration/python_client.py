"""A python-socketio client that is told what to do by lines of JSON, and says what happens in lines of JSON.

    {"do": "connect", "url": URL, "auth": {...}}   -> {"connected": {"sid": ..., "pid": ...}}
    {"do": "emit", "event": NAME, "args": [...]}   -> {"ack": ...}
    {"do": "cut"}                                  -> {"cut": true}, the connection is dropped without goodbye
    and for every event                               {"event": NAME, "args": [...]}, the offset last

python-socketio has no recovery code. It is made by hand here, as any application can: keep the `pid` of the CONNECT packet and
the offset of the last event, and present both as `auth` when connecting again.
"""

import asyncio
import json
import sys

import socketio


def say(**what):
    print(json.dumps(what), flush=True)


class Client(socketio.AsyncClient):
    """The stock client, but it remembers what came with CONNECT."""

    greeting = None

    async def _handle_connect(self, namespace, data):
        self.greeting = data
        await super()._handle_connect(namespace, data)

    async def _trigger_event(self, event, namespace, *args):
        if event not in ("connect", "connect_error", "disconnect"):
            say(event=event, args=list(args))
        return await super()._trigger_event(event, namespace, *args)


async def connect(url, auth):
    client = Client(reconnection=False)
    await client.connect(url, auth=auth, transports=["websocket"], wait_timeout=20)
    say(connected=client.greeting)
    return client


async def emit(client, event, args):
    answer = asyncio.get_running_loop().create_future()
    await client.emit(event, tuple(args), callback=lambda *ack: answer.set_result(ack))
    ack = await asyncio.wait_for(answer, 20)
    say(ack=ack[0] if len(ack) == 1 else list(ack))


async def main():
    loop = asyncio.get_running_loop()
    client = None
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            break
        order = json.loads(line)
        if order["do"] == "connect":
            client = await connect(order["url"], order.get("auth"))
        elif order["do"] == "emit":
            await emit(client, order["event"], order["args"])
        elif order["do"] == "cut":
            await client.eio.disconnect(abort=True)
            say(cut=True)
    if client is not None and client.connected:
        await client.disconnect()


asyncio.run(main())
