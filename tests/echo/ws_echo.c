#include "tests/echo/echo.h"

int main(int argc, char **argv) {
    static const struct rp_options_program program = {
        .program = "ws-echo",
        .summary = "Sends WebSocket messages back, at any path: ws-echo ADDRESS [options].",
        .listen = "127.0.0.1:9001",
        .path = "/",
        .max_payload = "64M",
        .max_payload_max = 256 << 20,
    };
    return echo_main(&program, RP_GATEWAY_ECHO_WS, argc, argv);
}
