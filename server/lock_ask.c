#include "server/lock_ask.h"

#include "common/xalloc.h"

#include <stdlib.h>
#include <string.h>

struct question {
	struct server_hooks *hooks;
	struct api_live *live;
	struct fleet_ask *ask;
};

static enum rc encode(
    void *arg, const struct fleet_call *call, struct packbuf *out)
{
	const struct question *q = arg;
	const struct msg_locks list = { .id = call->id };
	struct msg_lock_break broken = { .id = call->id };

	if (q->live->kind == API_LIVE_LOCKS)
		return msg_locks_encode(&list, out);
	memcpy(broken.lock, q->live->lock, sizeof(broken.lock));
	return msg_lock_break_encode(&broken, out);
}

static json_t *lock_json(const struct msg_lock *lock)
{
	return json_pack("{s:s, s:b, s:b, s:s, s:s, s:I}", "lock", lock->lock,
	    "shared", lock->shared ? 1 : 0, "held", lock->held ? 1 : 0, "task",
	    lock->task, "ticket", lock->ticket, "since_ms",
	    (json_int_t)lock->since_ms);
}

static void take_list(struct api_live *live, struct bytes message)
{
	struct msg_locks_reply m;
	json_t *items;

	live->rc = msg_locks_reply_decode(message, &m, &live->fault);
	if (live->rc != RC_OK)
		return;
	live->fault = m.reply.fault;
	items = json_array();
	for (size_t i = 0; i < m.count; i++)
		(void)json_array_append_new(items, lock_json(&m.items[i]));
	live->answer = json_pack("{s:o, s:n}", "items", items, "next");
	msg_locks_reply_clear(&m);
}

static void take_break(struct api_live *live, struct bytes message)
{
	struct msg_lock_break_reply m;

	live->rc = msg_lock_break_reply_decode(message, &m, &live->fault);
	if (live->rc != RC_OK)
		return;
	live->fault = m.reply.fault;
	live->answer = json_pack("{s:I}", "broken", (json_int_t)m.broken);
	msg_lock_break_reply_clear(&m);
}

static void on_reply(void *arg, const struct fleet_reply *reply)
{
	struct question *q = arg;
	struct api_live *live = q->live;

	if (reply->message.len == 0) {
		live->rc = RC_STATE;
		live->fault = *reply->fault;
	} else if (live->kind == API_LIVE_LOCKS) {
		take_list(live, reply->message);
	} else {
		take_break(live, reply->message);
	}
	/* What the machine said wrong is not the fault of who asked. */
	if (live->rc == RC_PROTO ||
	    (live->rc == RC_OK && live->fault.code != REASON_NONE))
		live->rc = RC_STATE;
	if (live->rc == RC_OK && live->answer == NULL)
		live->rc = RC_NOMEM;
	if (q->hooks->stopping)
		api_live_drop(live);
	else
		api_live_answer(live);
	free(q);
}

void lock_ask(struct server_hooks *h, struct api_live *live)
{
	struct question *q = xcalloc(1, sizeof(*q));
	const struct fleet_request request = { .machine = live->name,
		.op = live->kind == API_LIVE_LOCKS ? OP_LOCKS : OP_LOCK_BREAK,
		.deadline_ms = LOCK_ASK_MS,
		.encode = encode,
		.reply = on_reply,
		.arg = q };

	q->hooks = h;
	q->live = live;
	if (fleet_request(h->fleet, &request, &q->ask) == RC_OK)
		return;
	free(q);
	live->rc = RC_LIMIT;
	fault_set(&live->fault, REASON_TOO_MANY, "",
	    "too many questions are under way; try again soon");
	api_live_answer(live);
}
