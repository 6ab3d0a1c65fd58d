/* broker/allow.h — the list of --allow: whose keys may begin a link, and as what.
 *
 *     # comment                      only at a line's beginning: keys may have # in them
 *     gateway  eu-1    rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7
 *     worker   chat-1  Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID
 *     any      bench   …             both
 *
 * Names are for people: they are in the log. Two keys may have one name, while one replaces the
 * other; a key is in the list once. */
#pragma once

#include "common/curve_key.h"
#include "common/limits.h"

struct rp_allow; /* immutable */

struct rp_allow_entry {
    struct rp_curve_key key;
    unsigned roles; /* what its links may be: a sum of RP_CORE_… (broker/core.h) */
    char name[RP_ALLOW_NAME_BYTES_MAX + 1]; /* visible ASCII, at least one character */
};

/* How an entry is told by ZeroMQ's User-Id: "gateway eu-1 KEY". A link has the text of the entry
 * that let it in, and lives for as long as that very entry is in the list. */
enum { RP_ALLOW_TEXT_SIZE = RP_ALLOW_NAME_BYTES_MAX + RP_CURVE_KEY_LEN + 16 };

/* Takes the text of a list; it may be empty, then nobody is let in. RP_E_INVALID: ret_why (of
 * why_size bytes) says which line is wrong. Caller frees. */
RP_MUST_USE enum rp_err rp_allow_parse(struct rp_bytes text, struct rp_allow **ret_allow,
                                       char *ret_why, size_t why_size);
/* The same of a file. RP_E_IO, RP_E_TOO_BIG, RP_E_INVALID: ret_why does not name the file. */
RP_MUST_USE enum rp_err rp_allow_read(const char *path, struct rp_allow **ret_allow, char *ret_why,
                                      size_t why_size);
struct rp_allow *rp_allow_free(struct rp_allow *allow); /* NULL is fine; returns NULL */

size_t rp_allow_count(const struct rp_allow *allow);
/* Borrowed from the list; NULL: the key is not in it. */
const struct rp_allow_entry *rp_allow_find(const struct rp_allow *allow,
                                           const struct rp_curve_key *key);
/* The entry whose text this is; NULL: there is none like it (any more). */
const struct rp_allow_entry *rp_allow_find_text(const struct rp_allow *allow, struct rp_bytes text);
void rp_allow_text(const struct rp_allow_entry *entry, char ret_text[RP_ALLOW_TEXT_SIZE]);
