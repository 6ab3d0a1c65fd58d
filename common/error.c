#include "common/error.h"

const char *rp_strerror(enum rp_err err) {
    switch (err) {
#define RP_ERR_CASE(name, value, text)                                                             \
    case name:                                                                                     \
        return text;
        RP_ERR_LIST(RP_ERR_CASE)
#undef RP_ERR_CASE
    }
    return "unknown error";
}
