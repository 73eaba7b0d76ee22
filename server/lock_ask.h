/*
 * lock_ask.h - the API's questions about locks, which only the machine itself
 * can answer.  Main loop.
 */
#ifndef SERVER_LOCK_ASK_H
#define SERVER_LOCK_ASK_H

#include "server/api/api.h"
#include "server/hooks.h"

#define LOCK_ASK_MS 10000

/* Answers it later: who holds and waits, or how many locks were broken. */
void lock_ask(struct server_hooks *h, struct api_live *live);

#endif
