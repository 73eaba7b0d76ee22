/*
 * life.h - does this instance of a machine go on with the life that we know,
 * or is it a copy?  Pure.
 *
 * Each new instance is handed a succession token.  The next one must show it,
 * or the one before while the last was not confirmed: its answer may have been
 * lost.  Whatever else claims to be the machine was copied, or its disk was
 * rolled back: a fork.  See docs/security.md.
 */
#ifndef SERVER_FLEET_LIFE_H
#define SERVER_FLEET_LIFE_H

#include "proto/message_seal.h"
#include "server/store/instance.h"

/* What a greet says of its sender. */
struct life_shown {
	struct msg_instance instance;
	uint64_t counter;
	bool quarantine; /* its journal cannot be read: journal and counter
	                  * say nothing */
	bool has_token;
	uint8_t token[SUCCESSION_LEN];
};

enum life_verdict {
	LIFE_SAME, /* the instance that we know */
	LIFE_NEXT, /* its lawful successor */
	LIFE_FORK,
};

/* Copies; greet's bytes may go. */
struct life_shown life_shown_of(const struct msg_greet *greet);
enum life_verdict life_judge(
    const struct store_instance *row, const struct life_shown *shown);
/*
 * Its journal is another one than the one that was known, so what it had
 * promised in that is forgotten.
 */
bool life_lost_journal(
    const struct store_instance *row, const struct life_shown *shown);
/* Nothing is to be written (but a higher counter), nor given: the usual case,
 * when a link is back. */
bool life_is_settled(
    const struct store_instance *row, const struct life_shown *shown);
/*
 * The row after a verdict that is no fork.  fresh: SUCCESSION_LEN random
 * bytes.  True: next->succession is to be given, and unconfirmed until then.
 */
bool life_follow(const struct store_instance *row,
    const struct life_shown *shown, const uint8_t *fresh,
    struct store_instance *next);
/* The token that was given is on its disk. */
void life_confirm(struct store_instance *row);

#endif
