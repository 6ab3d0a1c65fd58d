#include "tests/echo/echo.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "gateway/serve.h"

#include <stdio.h>
#include <stdlib.h>

static void run(struct rp_serve *s) {
    for (;;) {
        uint64_t now_ms = rp_clock_mono_ms();
        rp_serve_turn(s, now_ms);
        if (rp_serve_is_stopped(s, now_ms)) {
            return;
        }
        rp_serve_wait(s, false);
    }
}

static int serve(const struct rp_options_program *program, enum rp_gateway_mode mode,
                 const struct rp_options *options) {
    struct rp_serve s;
    rp_log_set_level((enum rp_log_level) options->log_level);
    bool started = rp_serve_open(&s, options, mode, program->program);
    if (started) {
        rp_serve_start(&s);
        printf("ready %s listen=%s\n", program->program, rp_listen_address(s.listen));
        fflush(stdout);
        run(&s);
    }
    rp_serve_close(&s);
    return started ? EXIT_SUCCESS : EXIT_FAILURE;
}

int echo_main(const struct rp_options_program *program, enum rp_gateway_mode mode, int argc,
              char **argv) {
    /* the address may stand alone in front */
    char *listen = NULL;
    if (argc > 1 && argv[1][0] != '-') {
        size_t size = sizeof "--listen=" + strlen(argv[1]);
        listen = rp_alloc(size);
        snprintf(listen, size, "--listen=%s", argv[1]);
        argv[1] = listen;
    }
    struct rp_options options;
    int status = rp_options_parse(program, argc, argv, &options);
    if (status < 0) {
        status = serve(program, mode, &options);
    }
    rp_options_done(&options);
    free(listen);
    return status;
}
