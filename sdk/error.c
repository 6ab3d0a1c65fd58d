#include "sdk/reprise_error.h"

const char *reprise_strerror(enum reprise_err err) {
    switch (err) {
#define REPRISE_ERROR_CASE(name, value, text)                                                      \
    case name:                                                                                     \
        return text;
        REPRISE_ERROR_LIST(REPRISE_ERROR_CASE)
#undef REPRISE_ERROR_CASE
    }
    return "unknown error";
}
