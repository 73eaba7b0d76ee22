#include "common/log.h"
#include "proto/lenframe.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fleet_follow {
	struct way way; /* first */
	TAILQ_ENTRY(fleet_follow) all;
	struct fleet_attach user; /* names are not kept there */
	char ticket[ID_SIZE];
	char task[TASK_SIZE];
	uint64_t offset; /* of the next piece */
	uint32_t notes;  /* whole ones */
	uint64_t file;   /* bytes of the artifact at hand that came */
	uint64_t file_left;
};

static void follow_free(struct fleet_follow *w, const struct fault *fault)
{
	struct fleet *f = w->way.fleet;

	way_fini(&w->way, fault);
	TAILQ_REMOVE(&f->follows, w, all);
	f->follow_count--;
	free(w);
}

/* The last act. */
static void down(struct fleet_follow *w, const struct fault *fault)
{
	const struct fleet_attach user = w->user;
	const struct fault why = *fault;

	follow_free(w, &why);
	user.down(user.arg, &why);
}

/* What it says is not the log that was asked for. */
static void refuse(struct fleet_follow *w, const struct fault *fault)
{
	char object[ID_SIZE + 8];

	(void)snprintf(object, sizeof(object), "ticket %s", w->ticket);
	if (w->way.station != NULL && fault->code == REASON_PROTOCOL)
		way_accuse(&w->way, "log.refused", object, fault);
	down(w, fault);
}

static void on_output(struct fleet_follow *w, struct bytes message)
{
	struct msg_output output;
	struct fault fault;
	uint64_t offset = w->offset;

	if (msg_output_decode(message, &output, &fault) != RC_OK) {
		refuse(w, &fault);
		return;
	}
	if (output.offset != offset) {
		fault_set(&fault, REASON_PROTOCOL, w->way.fleet->at,
		    "%s: its output goes on at %llu instead of %llu",
		    w->way.station->name, (unsigned long long)output.offset,
		    (unsigned long long)offset);
		refuse(w, &fault);
		return;
	}
	w->offset += output.data.len;
	w->user.output(w->user.arg, offset, output.data);
}

static void out_of_order(struct fleet_follow *w)
{
	struct fault fault;

	fault_set(&fault, REASON_PROTOCOL, w->way.fleet->at,
	    "%s: what its script says came out of order", w->way.station->name);
	down(w, &fault);
}

static void on_note(struct fleet_follow *w, struct bytes message)
{
	const struct fleet_attach user = w->user;
	struct msg_note note;
	struct fault fault;

	if (msg_note_decode(message, &note, &fault) != RC_OK) {
		down(w, &fault);
		return;
	}
	if (w->file_left > 0 ||
	    (note.number > 0 && note.number != w->notes + 1)) {
		msg_note_clear(&note);
		out_of_order(w);
		return;
	}
	w->file = 0;
	w->file_left = note.kind == NOTE_ARTIFACT ? note.size : 0;
	if (note.number > 0 && w->file_left == 0)
		w->notes = note.number;
	user.note(user.arg, &note);
	msg_note_clear(&note);
}

static void on_piece(struct fleet_follow *w, struct bytes message)
{
	uint64_t offset = w->file;
	struct msg_piece piece;
	struct fault fault;

	if (msg_piece_decode(message, &piece, &fault) != RC_OK) {
		down(w, &fault);
		return;
	}
	if (piece.offset != offset || piece.data.len > w->file_left) {
		out_of_order(w);
		return;
	}
	w->file += piece.data.len;
	w->file_left -= piece.data.len;
	if (w->file_left == 0)
		w->notes++;
	w->user.piece(w->user.arg, offset, piece.data);
}

static void on_result(struct fleet_follow *w, struct bytes message)
{
	const struct fleet_attach user = w->user;
	struct msg_result result;
	struct fault fault;

	if (msg_result_decode(message, &result, &fault) != RC_OK) {
		refuse(w, &fault);
		return;
	}
	if (w->file_left > 0) {
		msg_result_clear(&result);
		out_of_order(w);
		return;
	}
	/* The seal is held while it tells us: message stays. */
	follow_free(w, NULL);
	user.result(user.arg, &result);
	msg_result_clear(&result);
}

static void on_refused(struct fleet_follow *w, struct bytes message)
{
	struct fault fault;

	way_read_refusal(&w->way, message, &fault);
	down(w, &fault);
}

static void on_message(struct way *way, struct bytes message)
{
	struct fleet_follow *w = (struct fleet_follow *)way;
	struct msg_head head;
	struct fault fault;
	enum rc rc = msg_peek(message, &head, &fault);

	if (rc == RC_NOTFOUND)
		return;
	if (rc != RC_OK)
		refuse(w, &fault);
	else if (head.op == OP_OUTPUT)
		on_output(w, message);
	else if (head.op == OP_NOTE)
		on_note(w, message);
	else if (head.op == OP_PIECE)
		on_piece(w, message);
	else if (head.op == OP_RESULT)
		on_result(w, message);
	else if (head.op == OP_FAULT)
		on_refused(w, message);
}

static void on_ready(struct way *way)
{
	struct fleet_follow *w = (struct fleet_follow *)way;
	struct msg_attach attach = {
		.offset = w->offset, .epoch = w->user.epoch, .notes = w->notes
	};
	struct packbuf pack;
	struct fault fault;

	w->file_left = 0;
	memcpy(attach.ticket, w->ticket, sizeof(attach.ticket));
	memcpy(attach.task, w->task, sizeof(attach.task));
	packbuf_init(&pack, 1024);
	if (way_send(way, msg_attach_encode(&attach, &pack), &pack) == RC_OK)
		return;
	fault_set(&fault, REASON_MEMORY, way->fleet->at,
	    "%s: cannot ask for the output", way->station->name);
	down(w, &fault);
}

static void on_writable(struct way *way)
{
	(void)way;
}

static void on_closed(struct way *way, const struct fault *fault)
{
	down((struct fleet_follow *)way, fault);
}

/* By another route, from the piece that was to come. */
static void on_move(struct way *way, bool has_better)
{
	if (has_better)
		way_reopen(way);
}

static const struct way_kind follow_kind = {
	.ops = { .ready = on_ready,
	    .message = on_message,
	    .writable = on_writable,
	    .move = on_move,
	    .closed = on_closed },
	.service_class = CLASS_DEPLOY,
	.message_max = LENFRAME_DEPLOY_MAX,
};

enum rc fleet_attach(struct fleet *f, const struct fleet_attach *attach,
    struct fleet_follow **out)
{
	struct station *t = station_find(f, ROLE_TENTACLE, attach->machine);
	struct fleet_follow *w;
	enum rc rc;

	if (f->follow_count >= f->settings->deploy_max)
		return RC_LIMIT;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return RC_NOMEM;
	rc = way_init(&w->way, f, t, &follow_kind);
	if (rc != RC_OK) {
		free(w);
		return rc;
	}
	w->user = *attach;
	w->user.machine = w->user.ticket = w->user.task = NULL;
	w->offset = attach->offset;
	w->notes = attach->notes;
	(void)snprintf(w->ticket, sizeof(w->ticket), "%s", attach->ticket);
	(void)snprintf(w->task, sizeof(w->task), "%s", attach->task);
	TAILQ_INSERT_TAIL(&f->follows, w, all);
	f->follow_count++;
	way_open(&w->way);
	*out = w;
	return RC_OK;
}

void fleet_follow_ack(struct fleet_follow *w, uint64_t offset)
{
	const struct msg_ack ack = { .offset = offset };
	struct packbuf pack;
	enum rc rc;

	if (w->way.state != WAY_READY)
		return;
	packbuf_init(&pack, 256);
	rc = way_send(&w->way, msg_ack_encode(&ack, &pack), &pack);
	if (rc != RC_OK) /* it is only a hint */
		log_debug("fleet", w->ticket, "ack not sent: %s", rc_name(rc));
}

void fleet_detach(struct fleet_follow *w)
{
	if (w != NULL)
		follow_free(w, NULL);
}

void follows_free(struct fleet *f)
{
	struct fleet_follow *w, *next;

	for (w = TAILQ_FIRST(&f->follows); w != NULL; w = next) {
		next = TAILQ_NEXT(w, all);
		follow_free(w, NULL);
	}
}
