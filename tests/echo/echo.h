/* tests/echo/echo.h — programs that send back what clients say: the gateway's sockets, site and
 * core without a broker, for test suites of the transports alone.
 *
 *     ws-echo ADDRESS [options]    WebSocket messages, at any path (Autobahn's fuzzing client)
 *     eio-echo ADDRESS [options]   Engine.IO messages, at any path (the suite of
 *                                  engine.io-protocol)
 *
 * The options are the gateway's; --path, and what a mode has no use for, changes nothing. */
#pragma once

#include "gateway/gateway.h"
#include "gateway/options.h"

/* The whole of main. */
int echo_main(const struct rp_options_program *program, enum rp_gateway_mode mode, int argc,
              char **argv);
