/*
 * hooks.h - from the HTTP thread to the main loop: what the API tells and
 * asks.
 *
 * Each hook copies what it was given and posts it; the main loop's side calls
 * dispatch and fleet.
 */
#ifndef SERVER_HOOKS_H
#define SERVER_HOOKS_H

#include "server/api/api.h"
#include "server/dispatch/dispatch.h"
#include "server/fleet/fleet.h"
#include "server/keeper.h"
#include "server/traces.h"

/* Borrowed by the API from api_start() to api_stop(). */
struct server_hooks {
	struct loop *loop;
	struct fleet *fleet;
	struct dispatch *dispatch;
	struct traces *traces;
	struct keeper *keeper;
	bool stopping; /* main loop: what still comes is dropped */
};

void server_hooks_fill(struct server_hooks *hooks, struct api_hooks *out);

#endif
