#include "common/zmq_end.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <zmq.h>

static void *end_context(void *context) {
    while (zmq_ctx_term(context) != 0 && zmq_errno() == EINTR) {
    } /* a signal; nothing would end it later */
    return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(pthread_t *ret_thread, void *context) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(ret_thread, NULL, end_context, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

void rp_zmq_end(void *context, uint64_t wait_ms) {
    pthread_t thread;
    if (start_thread(&thread, context) != 0) {
        end_context(context);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t ns = (uint64_t) until.tv_nsec + wait_ms % 1000 * 1000000;
    until.tv_sec += (time_t) (wait_ms / 1000 + ns / 1000000000);
    until.tv_nsec = (long) (ns % 1000000000);
    if (pthread_timedjoin_np(thread, NULL, &until) != 0) {
        pthread_detach(thread);
    }
}
