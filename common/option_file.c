#include "common/option_file.h"

#include "common/alloc.h"
#include "common/file.h"
#include "common/limits.h"

#include <stdio.h>
#include <stdlib.h>

/* What was read for one option. */
struct rp_option_kept {
    struct rp_option_kept *next;
    size_t len;
    char text[];
};

static const char *keep(struct rp_option_set *set, struct rp_bytes text) {
    struct rp_option_kept *kept = rp_alloc(sizeof *kept + text.len + 1);
    *kept = (struct rp_option_kept){.next = set->kept, .len = text.len};
    memcpy(kept->text, text.data, text.len);
    kept->text[text.len] = '\0';
    set->kept = kept;
    return kept->text;
}

static struct rp_bytes without_line_ends(struct rp_bytes text) {
    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r')) {
        text.len--;
    }
    return text;
}

/* NULL, or what is wrong with what is in the file. */
static const char *find_fault(struct rp_bytes text) {
    if (text.len == 0) {
        return "it is empty";
    }
    if (memchr(text.data, '\0', text.len) != NULL) {
        return "it is not a text file";
    }
    if (memchr(text.data, '\n', text.len) != NULL || memchr(text.data, '\r', text.len) != NULL) {
        return "it has more than one line, and the value must be one";
    }
    return NULL;
}

const char *rp_option_file_read(struct rp_option_set *set, const char *path, char *ret_why,
                                size_t why_size) {
    struct rp_buf buf;
    struct stat ignored;
    rp_buf_init(&buf, RP_OPTION_FILE_BYTES_MAX);
    const char *value = NULL;
    if (rp_file_read(path, &buf, &ignored, ret_why, why_size) == RP_OK) {
        struct rp_bytes text = without_line_ends(rp_buf_bytes(&buf));
        const char *fault = find_fault(text);
        if (fault == NULL) {
            value = keep(set, text);
        } else {
            snprintf(ret_why, why_size, "%s", fault);
        }
    }
    if (buf.data != NULL) {
        explicit_bzero(buf.data, buf.capacity);
    }
    rp_buf_done(&buf);
    return value;
}

void rp_option_file_forget(struct rp_option_set *set) {
    while (set->kept != NULL) {
        struct rp_option_kept *kept = set->kept;
        set->kept = kept->next;
        explicit_bzero(kept->text, kept->len);
        free(kept);
    }
}
