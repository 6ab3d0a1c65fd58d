// A Socket.IO server as its documentation has it: rooms, connection state recovery, the Redis Streams adapter. Clients of the chaos
// run ask it for what they ask Reprise for.
//
//     node socketio_server.mjs HOST PORT REDIS-PORT

import { createServer } from 'node:http';

import { createAdapter } from '@socket.io/redis-streams-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';

const HOUR_MS = 60 * 60 * 1000;
const STREAM_EVENTS_MAX = 10_000_000; // more than a run publishes: nothing is removed
const CLOSE_MS = 3_000; // for what still goes to Redis

const [host, port, redisPort] = process.argv.slice(2);

const redis = createClient({ url: `redis://127.0.0.1:${redisPort}` });
redis.on('error', (err) => console.error(`redis: ${err.message}`));
await redis.connect();

const http = createServer();
const io = new Server(http, {
  adapter: createAdapter(redis, { maxLen: STREAM_EVENTS_MAX }),
  connectionStateRecovery: { maxDisconnectionDuration: HOUR_MS, skipMiddlewares: true },
  pingInterval: 2_000,
  pingTimeout: 4_000,
});

io.on('connection', (socket) => {
  socket.on('join', async (room, ack) => {
    await socket.join(room);
    ack({ ok: true });
  });
  socket.on('leave', async (room, ack) => {
    await socket.leave(room);
    ack({ ok: true });
  });
  socket.on('publish', ({ room, event, args, echo = true }, ack) => {
    (echo ? io : socket).to(room).emit(event, ...args);
    ack({ ok: true });
  });
});

// The adapter does not look at what becomes of a session it sends to Redis; a connection that is lost then would end the process.
process.on('unhandledRejection', (err) => console.error(`unhandled: ${err.message}`));

process.on('SIGTERM', async () => {
  await io.close(); // keeps the sessions of all clients
  await Promise.race([redis.close(), new Promise((resolve) => setTimeout(resolve, CLOSE_MS))]);
  process.exit(0);
});

http.listen(Number(port), host, () => console.log('ready'));
