/*
 * term.h - proof of a server's term.  Pure.
 *
 *     random id (16) | HMAC-SHA256 by the master key over a text, the
 *                      database's incarnation and the id, cut to 16
 *
 * A term is the time from a server's start to its end; its id is a row before
 * anybody is told.  Whoever was told keeps the newest and shows it again, so
 * that a database notices by an id that it lacks that it was put back from a
 * copy.  The proof keeps a machine from claiming that; it is no secret to it.
 * Those of an earlier incarnation prove nothing.
 */
#ifndef SERVER_FLEET_TERM_H
#define SERVER_FLEET_TERM_H

#include "common/wrap.h"
#include "proto/message.h"
#include "server/store/restore.h"

#include <stdbool.h>

MUST_CHECK enum rc term_make(const struct wrap_key *master,
    const struct msg_incarnation *incarnation, const uint8_t id[TERM_ID_LEN],
    uint8_t out[TERM_LEN]);
/* It begins with its id. */
bool term_is_ours(const struct wrap_key *master,
    const struct msg_incarnation *incarnation, struct bytes term);

#endif
