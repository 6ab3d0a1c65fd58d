/* common/option_text.h — what options say to people. Of common/option.c; not for anybody else. */
#pragma once

#include "common/option.h"

enum { RP_OPTION_TEXT_BYTES_MAX = 64 << 10 };

/* Appends; what does not fit is cut (a message repeats what the caller's environment holds). */
void rp_option_say(struct rp_buf *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Appends "a duration such as …, at least 1s": what would have been right in place of value. */
void rp_option_put_expected(const struct rp_option *o, const char *value, struct rp_buf *out);
/* Appends ", did you mean --…?" if a name is near. */
void rp_option_suggest(const struct rp_option_set *set, const char *name, const char *dashes,
                       struct rp_buf *out);
void rp_option_put_help(const struct rp_option_set *set, struct rp_buf *out);
