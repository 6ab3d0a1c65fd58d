#include "broker/retention.h"

#include "common/alloc.h"
#include "common/limits.h"
#include "common/pattern.h"
#include "common/units.h"

#include <stdlib.h>
#include <string.h>

struct rp_retention {
    struct rp_retention_limits whole;
    size_t count;
    struct rp_retention_rule rules[RP_RETENTION_RULES_MAX];
    char text[]; /* of the rules, cut into words and put together again */
};

/* ---- reading rules ---- */

/* The next word of a rule, ended with a NUL in place; NULL: there is none. */
static char *next_word(char **at) {
    static const char spaces[] = " \t\r";
    char *word = *at + strspn(*at, spaces);
    char *end = word + strcspn(word, spaces);
    *at = *end != '\0' ? end + 1 : end;
    *end = '\0';
    return word < end ? word : NULL;
}

static bool read_limit(struct rp_retention_limits *limits, const char *word) {
    const struct {
        const char *name;
        uint64_t *limit;
        bool (*read)(const char *, uint64_t *);
    } kinds[] = {{"age=", &limits->age_ms, rp_units_duration},
                 {"events=", &limits->events, rp_units_count},
                 {"bytes=", &limits->bytes, rp_units_size}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t len = strlen(kinds[i].name);
        if (strncmp(word, kinds[i].name, len) == 0) {
            return *kinds[i].limit == UINT64_MAX && kinds[i].read(word + len, kinds[i].limit) &&
                   *kinds[i].limit > 0 && *kinds[i].limit < UINT64_MAX;
        }
    }
    return false;
}

/* Adds a word to a rule's own text, which is not longer than what was read. */
static void put_word(char **out, const char *before, const char *word) {
    size_t space = strlen(before), len = strlen(word);
    memcpy(*out, before, space);
    memcpy(*out + space, word, len + 1);
    *out += space + len;
}

static enum rp_err read_rule(struct rp_retention *r, char *text, char **out) {
    char *nsps = next_word(&text), *rooms = nsps != NULL ? next_word(&text) : NULL, *word;
    if (nsps == NULL) {
        return RP_OK;
    }
    if (rooms == NULL) {
        return RP_E_INVALID;
    }
    if (r->count == RP_RETENTION_RULES_MAX) {
        return RP_E_TOO_BIG;
    }
    struct rp_retention_rule *rule = &r->rules[r->count];
    *rule = (struct rp_retention_rule){
        .limits = RP_RETENTION_UNLIMITED, .index = r->count, .text = *out};
    r->count++;
    enum rp_err err = rp_patterns_parse(nsps, RP_PATTERNS_EXACT, &rule->nsps);
    err = err == RP_OK ? rp_patterns_parse(rooms, RP_PATTERNS_EXACT, &rule->rooms) : err;
    put_word(out, "", nsps);
    put_word(out, " ", rooms);
    while (err == RP_OK && (word = next_word(&text)) != NULL) {
        err = read_limit(&rule->limits, word) ? RP_OK : RP_E_INVALID;
        put_word(out, " ", word);
    }
    (*out)++; /* the NUL */
    return err;
}

static enum rp_err read_rules(struct rp_retention *r, const char *rules, size_t len) {
    char *copy = memcpy(rp_alloc(len + 1), rules, len + 1), *out = r->text;
    enum rp_err err = RP_OK;
    for (char *line = copy, *next; err == RP_OK && line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        line[strcspn(line, "#")] = '\0';
        for (char *rule = line, *end; err == RP_OK && rule != NULL; rule = end) {
            end = strchr(rule, ';');
            if (end != NULL) {
                *end++ = '\0';
            }
            err = read_rule(r, rule, &out);
        }
    }
    free(copy);
    return err;
}

enum rp_err rp_retention_new(const struct rp_retention_limits *whole, const char *rules,
                             struct rp_retention **ret_retention) {
    size_t len = rules != NULL ? strlen(rules) : 0;
    if (len > RP_RETENTION_TEXT_BYTES_MAX) {
        return RP_E_TOO_BIG;
    }
    struct rp_retention *r = rp_alloc(sizeof *r + len + 1);
    memset(r, 0, sizeof *r);
    r->whole = *whole;
    enum rp_err err = len > 0 ? read_rules(r, rules, len) : RP_OK;
    if (err == RP_OK && (whole->age_ms == 0 || whole->events == 0 || whole->bytes == 0)) {
        err = RP_E_INVALID;
    }
    if (err != RP_OK) {
        rp_retention_free(r);
        return err;
    }
    *ret_retention = r;
    return RP_OK;
}

struct rp_retention *rp_retention_free(struct rp_retention *r) {
    for (size_t i = 0; r != NULL && i < r->count; i++) {
        rp_patterns_free(r->rules[i].nsps);
        rp_patterns_free(r->rules[i].rooms);
    }
    free(r);
    return NULL;
}

const char *rp_retention_check(const char *rules) {
    struct rp_retention *r;
    if (rp_retention_new(&RP_RETENTION_UNLIMITED, rules, &r) != RP_OK) {
        return RP_RETENTION_EXPECTED;
    }
    rp_retention_free(r);
    return NULL;
}

/* ---- asking ---- */

struct rp_retention_limits rp_retention_whole(const struct rp_retention *r) {
    return r != NULL ? r->whole : RP_RETENTION_UNLIMITED;
}

size_t rp_retention_rules(const struct rp_retention *r) {
    return r != NULL ? r->count : 0;
}

const struct rp_retention_rule *rp_retention_rule_at(const struct rp_retention *r, size_t index) {
    return &r->rules[index];
}

const struct rp_retention_rule *rp_retention_rule_of(const struct rp_retention *r,
                                                     struct rp_bytes nsp, struct rp_bytes room) {
    for (size_t i = 0; i < rp_retention_rules(r); i++) {
        const struct rp_retention_rule *rule = &r->rules[i];
        if (rp_patterns_match(rule->nsps, nsp) && rp_patterns_match(rule->rooms, room)) {
            return rule;
        }
    }
    return NULL;
}

static bool limits(struct rp_retention_limits l) {
    return l.age_ms < UINT64_MAX || l.events < UINT64_MAX || l.bytes < UINT64_MAX;
}

bool rp_retention_limits_anything(const struct rp_retention *r) {
    bool any = limits(rp_retention_whole(r));
    for (size_t i = 0; i < rp_retention_rules(r); i++) {
        any = any || limits(r->rules[i].limits);
    }
    return any;
}
