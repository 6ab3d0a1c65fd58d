#include "tests/echo/echo.h"

int main(int argc, char **argv) {
    static const struct rp_options_program program = {
        .program = "eio-echo",
        .summary = "Sends Engine.IO messages back, at any path: eio-echo ADDRESS [options].",
        .listen = "127.0.0.1:3000",
        .path = "/",
        .max_payload = "1000000",
        .max_payload_max = 256 << 20,
    };
    return echo_main(&program, RP_GATEWAY_ECHO_EIO, argc, argv);
}
