"""A python-socketio client that stays: it connects again whenever it is not connected, and presents what recovery needs.

    argument: the URL and the transports, "websocket" or "polling"
    {"n": N, "event": NAME, "args": [...],  -> {"n": N, "ack": ...} or {"n": N, "error": TEXT}
     "seconds": S}
    and when it happens                        {"connected": {"sid": ..., "pid": ...}}, {"disconnected": true},
                                               {"event": NAME, "namespace": "/", "args": [...]}
Ends with its standard input.
"""

import asyncio
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../integration"))

from python_client import AsyncClient, say  # noqa: E402

CONNECT_SECONDS = 10
PAUSE_SECONDS = 0.2


class Member:
    def __init__(self, url, transport):
        self.url = url
        self.transport = transport
        self.client = None
        self.pid = None
        self.offset = None

    def auth(self):
        if self.pid is None:
            return None
        return {"pid": self.pid} if self.offset is None else {"pid": self.pid, "offset": self.offset}

    def make_client(self):
        member = self

        class Remembering(AsyncClient):
            """Knows the offset, the last argument of an event, once the event was told."""

            async def _handle_connect(self, namespace, data):
                member.pid = data.get("pid")
                say(connected=data)
                await super()._handle_connect(namespace, data)

            async def _trigger_event(self, event, namespace, *args):
                if args and isinstance(args[-1], str) and event not in ("connect_error", "disconnect"):
                    member.offset = args[-1]
                return await super()._trigger_event(event, namespace, *args)

        client = Remembering(reconnection=False, request_timeout=CONNECT_SECONDS)
        client.greetings = {}
        return client

    async def stay(self):
        while True:
            client = self.make_client()
            try:
                await client.connect(self.url, auth=self.auth(), transports=[self.transport], wait_timeout=CONNECT_SECONDS)
                self.client = client
                await client.wait()
            except Exception as err:  # whatever the network does to it, it tries again
                print(f"connecting: {err!r}", file=sys.stderr, flush=True)
            self.client = None
            say(disconnected=True)
            await asyncio.sleep(PAUSE_SECONDS)

    async def emit(self, order):
        answer = asyncio.get_running_loop().create_future()

        def take(*ack):
            if not answer.done():
                answer.set_result(ack)

        try:
            if self.client is None:
                raise ConnectionError("not connected")
            await self.client.emit(order["event"], tuple(order["args"]), callback=take)
            ack = await asyncio.wait_for(answer, order["seconds"])
            say(n=order["n"], ack=ack[0] if len(ack) == 1 else list(ack))
        except Exception as err:
            say(n=order["n"], error=repr(err))


async def main():
    member = Member(sys.argv[1], sys.argv[2])
    staying = asyncio.create_task(member.stay())
    tasks = set()
    loop = asyncio.get_running_loop()
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            break
        task = asyncio.create_task(member.emit(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    staying.cancel()
    os._exit(0)  # whatever still waits


asyncio.run(main())
