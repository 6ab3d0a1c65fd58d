#include "broker/allow.h"

#include "broker/core.h"
#include "common/alloc.h"
#include "common/assert.h"
#include "common/file.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* with the line it came from, for messages */
struct row {
    struct rp_allow_entry entry;
    unsigned line;
};

struct rp_allow {
    struct row *rows; /* sorted by key */
    size_t count, capacity;
};

/* ---- roles ---- */

static const struct role {
    const char *word;
    unsigned roles;
} roles_known[] = {
    {"gateway", RP_CORE_GATEWAY},
    {"worker", RP_CORE_WORKER},
    {"any", RP_CORE_GATEWAY | RP_CORE_WORKER},
};

enum { ROLES_COUNT = sizeof roles_known / sizeof *roles_known };

/* 0: no such word */
static unsigned roles_of(struct rp_bytes word) {
    for (size_t i = 0; i < ROLES_COUNT; i++) {
        if (rp_bytes_eq_str(word, roles_known[i].word)) {
            return roles_known[i].roles;
        }
    }
    return 0;
}

static const char *word_of(unsigned roles) {
    for (size_t i = 0; i < ROLES_COUNT; i++) {
        if (roles_known[i].roles == roles) {
            return roles_known[i].word;
        }
    }
    RP_ASSERT(!"roles that no word is for");
    return NULL;
}

/* ---- reading ---- */

static bool take_name(struct rp_bytes word, char ret_name[RP_ALLOW_NAME_BYTES_MAX + 1]) {
    if (word.len == 0 || word.len > RP_ALLOW_NAME_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < word.len; i++) {
        if (word.data[i] <= ' ' || word.data[i] > '~') {
            return false;
        }
    }
    memcpy(ret_name, word.data, word.len);
    ret_name[word.len] = '\0';
    return true;
}

/* NULL, or what is wrong with the line. */
static const char *take_line(struct rp_bytes line, struct rp_allow_entry *ret_entry) {
    ret_entry->roles = roles_of(rp_bytes_next_word(&line));
    if (ret_entry->roles == 0) {
        return "expected `gateway NAME KEY`, `worker NAME KEY` or `any NAME KEY`";
    }
    if (!take_name(rp_bytes_next_word(&line), ret_entry->name)) {
        return "expected a name of at most 64 visible ASCII characters after the first word";
    }
    if (rp_curve_key_parse(rp_bytes_next_word(&line), &ret_entry->key) != RP_OK) {
        return "expected " RP_CURVE_KEY_EXPECTED " after the name";
    }
    return rp_bytes_next_word(&line).len == 0 ? NULL : "expected nothing after the key";
}

static enum rp_err take_lines(struct rp_bytes text, struct rp_allow *allow, char *ret_why,
                              size_t why_size) {
    for (unsigned number = 1; text.len > 0; number++) {
        struct rp_bytes line = rp_bytes_trim(rp_bytes_next_line(&text));
        if (line.len == 0 || line.data[0] == '#') {
            continue;
        }
        struct row row = {.line = number};
        const char *wrong =
            allow->count < RP_ALLOW_KEYS_MAX ? take_line(line, &row.entry) : "more than 4096 keys";
        if (wrong != NULL) {
            snprintf(ret_why, why_size, "line %u: %s", number, wrong);
            return RP_E_INVALID;
        }
        allow->rows =
            rp_array_reserve(allow->rows, allow->count, &allow->capacity, sizeof *allow->rows);
        allow->rows[allow->count++] = row;
    }
    return RP_OK;
}

static int compare_rows(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    int by_key = strcmp(x->entry.key.text, y->entry.key.text);
    return by_key != 0 ? by_key : (x->line > y->line) - (x->line < y->line);
}

/* Sorts; a key that is there twice could not be taken away by removing a line. */
static enum rp_err sort(struct rp_allow *allow, char *ret_why, size_t why_size) {
    if (allow->count > 0) {
        qsort(allow->rows, allow->count, sizeof *allow->rows, compare_rows);
    }
    for (size_t i = 1; i < allow->count; i++) {
        const struct row *row = &allow->rows[i];
        if (strcmp(row[-1].entry.key.text, row->entry.key.text) == 0) {
            snprintf(ret_why, why_size, "line %u: the key is in line %u already", row->line,
                     row[-1].line);
            return RP_E_INVALID;
        }
    }
    return RP_OK;
}

static_assert(RP_ALLOW_KEYS_MAX == 4096 && RP_ALLOW_NAME_BYTES_MAX == 64, "messages name them");

enum rp_err rp_allow_parse(struct rp_bytes text, struct rp_allow **ret_allow, char *ret_why,
                           size_t why_size) {
    struct rp_allow *allow = RP_NEW(struct rp_allow);
    enum rp_err err = take_lines(text, allow, ret_why, why_size);
    if (err == RP_OK) {
        err = sort(allow, ret_why, why_size);
    }
    if (err != RP_OK) {
        rp_allow_free(allow);
        return err;
    }
    *ret_allow = allow;
    return RP_OK;
}

enum rp_err rp_allow_read(const char *path, struct rp_allow **ret_allow, char *ret_why,
                          size_t why_size) {
    struct rp_buf text;
    struct stat file;
    rp_buf_init(&text, RP_ALLOW_FILE_BYTES_MAX);
    enum rp_err err = rp_file_read(path, &text, &file, ret_why, why_size);
    if (err == RP_OK) {
        err = rp_allow_parse(rp_buf_bytes(&text), ret_allow, ret_why, why_size);
    }
    rp_buf_done(&text);
    return err;
}

struct rp_allow *rp_allow_free(struct rp_allow *allow) {
    if (allow != NULL) {
        free(allow->rows);
        free(allow);
    }
    return NULL;
}

/* ---- asking ---- */

size_t rp_allow_count(const struct rp_allow *allow) {
    return allow->count;
}

static int compare_key(const void *key, const void *row) {
    return strcmp(((const struct rp_curve_key *) key)->text,
                  ((const struct row *) row)->entry.key.text);
}

const struct rp_allow_entry *rp_allow_find(const struct rp_allow *allow,
                                           const struct rp_curve_key *key) {
    if (allow->count == 0) {
        return NULL;
    }
    const struct row *row =
        bsearch(key, allow->rows, allow->count, sizeof *allow->rows, compare_key);
    return row != NULL ? &row->entry : NULL;
}

const struct rp_allow_entry *rp_allow_find_text(const struct rp_allow *allow,
                                                struct rp_bytes text) {
    struct rp_curve_key key;
    char now[RP_ALLOW_TEXT_SIZE];
    if (text.len < RP_CURVE_KEY_LEN ||
        rp_curve_key_parse(rp_bytes_skip(text, text.len - RP_CURVE_KEY_LEN), &key) != RP_OK) {
        return NULL;
    }
    const struct rp_allow_entry *entry = rp_allow_find(allow, &key);
    if (entry == NULL) {
        return NULL;
    }
    rp_allow_text(entry, now);
    return rp_bytes_eq_str(text, now) ? entry : NULL;
}

void rp_allow_text(const struct rp_allow_entry *entry, char ret_text[RP_ALLOW_TEXT_SIZE]) {
    snprintf(ret_text, RP_ALLOW_TEXT_SIZE, "%s %s %s", word_of(entry->roles), entry->name,
             entry->key.text);
}
