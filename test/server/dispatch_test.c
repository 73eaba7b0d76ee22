/*
 * The dispatcher with a real store, real files and a fleet made of paper: this
 * file defines the fleet's functions itself, so the linker takes no others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/hex.h"
#include "proto/feature.h"
#include "server/api/api.h"
#include "server/dispatch/dispatch.h"
#include "server/process/planner.h"
#include "server/process/release_snapshot.h"
#include "server/store/decision.h"
#include "server/store/environment.h"
#include "server/store/machine.h"
#include "server/store/project.h"
#include "server/store/task.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MACHINE "7f000000000000000000000000000001"
#define SECRET  "correct-horse-battery"
#define LOG     "one line\nanother line\nthe last line\n"
#define STEP_MS 5
#define STEPS   2000

/* ---- the fleet of paper ---- */

struct fleet_ask {
	struct fleet_request request;
	bool over;
	bool lost; /* no answer will come: freed by its cancel */
};

struct fleet_follow {
	struct fleet_attach attach;
	char ticket[ID_SIZE];
	bool over;
};

struct fleet_bring {
	struct fleet_stage stage;
	bool over;
};

struct fleet {
	struct loop *loop;
	/* How it behaves. */
	unsigned unreachable; /* so many starts fail before they arrive */
	unsigned failing;     /* so many scripts end with exit code 3 */
	bool mute;            /* starts arrive, their replies are lost */
	bool hold;            /* the script goes on: no result yet */
	size_t cut;           /* the first output stream breaks here */
	uint32_t lacks;       /* features that its tentacle does not have */
	/* What it saw: the one ticket of the test. */
	char ticket[ID_SIZE];
	unsigned runs;   /* scripts started */
	unsigned starts; /* requests to start */
	unsigned forgets, attaches, cancels, health, staged;
	uint64_t last_offset, last_epoch;
	char secret[64];
	bool cancelled;
	bool remembers; /* a ticket that has ended */
	bool clueless;  /* cannot say how a script ended */
	unsigned asked; /* what it remembers */
};

/* What is delivered later, as the real one does. */
struct event {
	void (*fn)(struct fleet *f, struct event *e);
	struct fleet *fleet;
	struct fleet_ask *ask;
	struct fleet_follow *follow;
	struct fleet_bring *bring;
	struct packbuf message;
};

static void deliver(void *arg)
{
	struct event *e = arg;

	e->fn(e->fleet, e);
	packbuf_fini(&e->message);
	free(e);
}

static struct event *later(
    struct fleet *f, void (*fn)(struct fleet *f, struct event *e))
{
	struct event *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	e->fn = fn;
	e->fleet = f;
	packbuf_init(&e->message, 1 << 16);
	assert_int_equal(loop_post(f->loop, deliver, e), RC_OK);
	return e;
}

static void give_reply(struct fleet *f, struct event *e)
{
	const struct fleet_reply reply = { .message =
					       packbuf_bytes(&e->message) };

	(void)f;
	if (!e->ask->over)
		e->ask->request.reply(e->ask->request.arg, &reply);
	free(e->ask);
}

static void give_fault(struct fleet *f, struct event *e)
{
	struct fault fault;
	const struct fleet_reply reply = { .fault = &fault };

	(void)f;
	fault_set(&fault, REASON_AGENT_DOWN, "relay dc2-a",
	    "web-01: connection refused");
	if (!e->ask->over)
		e->ask->request.reply(e->ask->request.arg, &reply);
	free(e->ask);
}

static void give_nothing(struct fleet *f, struct event *e)
{
	(void)f;
	if (e->ask->over)
		free(e->ask);
	else
		e->ask->lost = true;
}

static void take_secret(struct fleet *f, const struct msg_start *m)
{
	const struct msg_pairs *secrets = &m->script.secrets;

	for (size_t i = 0; i < secrets->count; i++)
		(void)snprintf(f->secret, sizeof(f->secret), "%.*s",
		    (int)secrets->items[i].value.len,
		    (const char *)secrets->items[i].value.p);
}

static void on_start(struct fleet *f, struct bytes frame, struct event *e)
{
	struct msg_start_reply reply = { .state = TICKET_RUNNING };
	struct fault fault = { .code = REASON_NONE };
	struct msg_start m;

	if (msg_start_decode(frame, &m, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	f->starts++;
	if (strcmp(f->ticket, m.ticket) != 0) {
		memcpy(f->ticket, m.ticket, sizeof(f->ticket));
		f->runs++;
	}
	take_secret(f, &m);
	reply.reply.id = m.id;
	msg_start_clear(&m);
	assert_int_equal(msg_start_reply_encode(&reply, &e->message), RC_OK);
}

static void on_cancel(struct fleet *f, struct bytes frame, struct event *e)
{
	const struct msg_cancel_reply reply = { .reply.id = 1,
		.state = TICKET_RUNNING };
	struct fault fault = { .code = REASON_NONE };
	struct msg_cancel m;

	if (msg_cancel_decode(frame, &m, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	/* One that never came leaves its name here. */
	if (f->ticket[0] == '\0')
		memcpy(f->ticket, m.ticket, sizeof(f->ticket));

	f->cancels++;
	f->cancelled = true;
	assert_int_equal(msg_cancel_reply_encode(&reply, &e->message), RC_OK);
}

static void on_health(struct fleet *f, struct event *e)
{
	const struct msg_health_reply reply = { .reply.id = 1,
		.state = HEALTH_WARNINGS,
		.output = bytes_text("disk is nearly full\nmore\n"),
		.ended = f->remembers };

	f->health++;
	assert_int_equal(msg_health_reply_encode(&reply, &e->message), RC_OK);
}

static void on_tickets(struct fleet *f, struct event *e)
{
	struct msg_ticket ticket = { .state = TICKET_EXITED };
	const struct msg_tickets_reply reply = {
		.reply.id = 1, .items = &ticket, .count = 1
	};

	memcpy(ticket.ticket, f->ticket, sizeof(ticket.ticket));
	f->asked++;
	assert_int_equal(msg_tickets_reply_encode(&reply, &e->message), RC_OK);
}

static void answer_to(
    struct fleet *f, enum msg_op op, struct bytes frame, struct event *e)
{
	const struct msg_forget_reply forgotten = { .reply.id = 1 };

	switch ((int)op) {
	case OP_START:
		on_start(f, frame, e);
		break;
	case OP_CANCEL:
		on_cancel(f, frame, e);
		break;
	case OP_HEALTH:
		on_health(f, e);
		break;
	case OP_TICKETS:
		on_tickets(f, e);
		break;
	case OP_FORGET:
		f->forgets++;
		assert_int_equal(
		    msg_forget_reply_encode(&forgotten, &e->message), RC_OK);
		break;
	default:
		fail_msg("unexpected request %s", msg_op_name(op));
	}
}

enum rc fleet_request(struct fleet *f, const struct fleet_request *request,
    struct fleet_ask **out)
{
	const struct msg_incarnation incarnation = { .secs = 1,
		.random = MACHINE };
	const struct fleet_call call = { .id = 1,
		.journal = "",
		.features = FEATURE_ALL & ~f->lacks,
		.incarnation = &incarnation };
	struct fleet_ask *ask = calloc(1, sizeof(*ask));
	struct packbuf frame;
	struct event *e;

	assert_non_null(ask);
	ask->request = *request;
	*out = ask;
	if (request->op == OP_START && f->unreachable > 0) {
		f->unreachable--;
		e = later(f, give_fault);
		e->ask = ask;
		return RC_OK;
	}
	packbuf_init(&frame, 1 << 16);
	if (request->encode(request->arg, &call, &frame) != RC_OK) {
		packbuf_fini(&frame);
		assert_true(f->lacks != 0);
		e = later(f, give_fault);
		e->ask = ask;
		return RC_OK;
	}
	e = later(
	    f, f->mute && request->op == OP_START ? give_nothing : give_reply);
	e->ask = ask;
	answer_to(f, request->op, packbuf_bytes(&frame), e);
	packbuf_fini(&frame);
	return RC_OK;
}

void fleet_machine_hop(
    const struct fleet *f, const char *machine, char out[NAME_SIZE])
{
	(void)f;
	(void)machine;
	out[0] = '\0';
}

enum rc fleet_machine_state(
    const struct fleet *f, const char *machine, struct fleet_machine_state *out)
{
	(void)f;
	(void)machine;
	*out = (struct fleet_machine_state){
		.presence = STORE_PRESENCE_ONLINE,
	};
	return RC_OK;
}

void fleet_request_cancel(struct fleet_ask *ask)
{
	if (ask != NULL && ask->lost)
		free(ask);
	else if (ask != NULL)
		ask->over = true; /* freed when its answer is dropped */
}

void fleet_saw_reply(
    struct fleet *f, const char *machine, const struct msg_reply *reply)
{
	(void)f;
	(void)machine;
	(void)reply;
}

static void give_output(struct fleet *f, struct event *e)
{
	struct fleet_follow *follow = e->follow;
	const struct fleet_attach *a = &follow->attach;
	size_t end = f->cut > 0 ? f->cut : strlen(LOG);
	struct fault fault;
	struct msg_result result = { .state = f->cancelled ? TICKET_CANCELLED
		                                           : TICKET_EXITED,
		.log_size = strlen(LOG) };
	struct blob_digest digest;

	for (size_t at = a->offset; at < end && !follow->over; at += 7) {
		size_t len = end - at < 7 ? end - at : 7;

		a->output(a->arg, at, bytes_of(&LOG[at], len));
	}
	if (!follow->over && f->cut > 0) {
		f->cut = 0;
		fault_set(&fault, REASON_RELAY_DOWN, "", "relay is gone");
		a->down(a->arg, &fault);
	} else if (!follow->over && f->hold && !f->cancelled) {
		later(f, give_output)->follow = follow; /* it runs on */
		follow->attach.offset = end;
		return;
	} else if (!follow->over) {
		assert_int_equal(
		    blob_digest_of(LOG, strlen(LOG), &digest), RC_OK);
		blob_digest_format(&digest, result.log_sha256);
		if (f->clueless)
			result.state = TICKET_UNKNOWN;
		if (f->failing > 0 && !f->cancelled) {
			f->failing--;
			result.exit_code = 3;
		}
		a->result(a->arg, &result);
	}
	free(follow);
}

enum rc fleet_attach(struct fleet *f, const struct fleet_attach *attach,
    struct fleet_follow **out)
{
	struct fleet_follow *follow = calloc(1, sizeof(*follow));

	assert_non_null(follow);
	assert_string_equal(attach->ticket, f->ticket);
	assert_string_equal(attach->task, "task-1");
	f->last_epoch = attach->epoch;
	follow->attach = *attach;
	f->attaches++;
	f->last_offset = attach->offset;
	later(f, give_output)->follow = follow;
	*out = follow;
	return RC_OK;
}

void fleet_follow_ack(struct fleet_follow *follow, uint64_t offset)
{
	assert_false(follow->over);
	assert_true(offset <= strlen(LOG));
}

void fleet_detach(struct fleet_follow *follow)
{
	if (follow != NULL)
		follow->over = true;
}

static void give_staged(struct fleet *f, struct event *e)
{
	f->staged++;
	if (!e->bring->over)
		e->bring->stage.done(e->bring->stage.arg, NULL);
	free(e->bring);
}

enum rc fleet_stage(
    struct fleet *f, const struct fleet_stage *stage, struct fleet_bring **out)
{
	struct fleet_bring *bring = calloc(1, sizeof(*bring));

	assert_non_null(bring);
	bring->stage = *stage;
	(void)close(stage->fd);
	later(f, give_staged)->bring = bring;
	*out = bring;
	return RC_OK;
}

void fleet_stage_cancel(struct fleet_bring *bring)
{
	if (bring != NULL)
		bring->over = true;
}

/* ---- a server around it ---- */

struct world {
	char dir[64];
	char logs[96];
	struct engine_limits limits;
	struct wrap_key master;
	struct fleet fleet;
	struct loop *loop;
	struct worker_pool *pool;
	struct store *store;
	struct blob_store *blobs;
	struct dispatch *dispatch;
	struct loop_timer *step;
	uint64_t interval_ms;
	unsigned steps;
	bool (*until)(struct world *w);
	uint64_t task;
	struct task_row row;  /* as last read */
	struct store_run run; /* of its first action */
};

static void task_changed(void *owner, uint64_t number)
{
	(void)owner;
	(void)number;
}

static void broken(void *owner, const struct fault *fault)
{
	(void)owner;
	fail_msg("%s", fault->text);
}

static const struct dispatch_ops ops = {
	.task_changed = task_changed,
	.broken = broken,
};

static void on_step(void *arg)
{
	struct world *w = arg;

	if (w->until(w) || --w->steps == 0)
		loop_stop(w->loop);
	else
		loop_timer_set(w->step, STEP_MS);
}

/* Run the loop until it holds; RC_AGAIN: it never did. */
static enum rc run_until(struct world *w, bool (*until)(struct world *w))
{
	w->until = until;
	w->steps = STEPS;
	loop_timer_set(w->step, 1);
	loop_run(w->loop);
	return w->steps > 0 ? RC_OK : RC_AGAIN;
}

static void start(struct world *w)
{
	struct fault fault = { .code = REASON_NONE };

	assert_int_equal(loop_new(&w->loop), RC_OK);
	assert_int_equal(worker_pool_new(w->loop, 1, 64, &w->pool), RC_OK);
	assert_int_equal(loop_timer_new(w->loop, on_step, w, &w->step), RC_OK);
	if (store_open(w->dir, store_post_to_loop, &w->store, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	w->fleet.loop = w->loop;

	const struct dispatch_parts parts = { .loop = w->loop,
		.pool = w->pool,
		.store = w->store,
		.fleet = &w->fleet,
		.blobs = w->blobs,
		.engine = &w->limits,
		.health = { .interval_ms = w->interval_ms,
		    .timeout_ms = 1000,
		    .concurrency = 4,
		    .relay_concurrency = 2 },
		.master = &w->master,
		.log_dir = w->logs,
		.owner_id = "node-and-life",
		.incarnation = "1-" MACHINE,
		.incarnation_msg = { .secs = 1, .random = MACHINE },
		.ops = &ops,
		.owner = w };

	if (dispatch_new(&parts, &w->dispatch, &fault) != RC_OK ||
	    dispatch_start(w->dispatch, &fault) != RC_OK)
		fail_msg("%s", fault.text);
}

static bool is_idle(struct world *w)
{
	return dispatch_pending(w->dispatch) == 0;
}

/* As at the end of the process, orderly. */
static void stop(struct world *w)
{
	dispatch_close(w->dispatch);
	assert_int_equal(run_until(w, is_idle), RC_OK);
	store_close(w->store);
	dispatch_free(w->dispatch);
	worker_pool_free(w->pool);
	loop_timer_free(w->step);
	loop_free(w->loop);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct fault fault;
	char blobs[96];

	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/longarm-work-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->logs, sizeof(w->logs), "%s/logs", w->dir);
	(void)snprintf(blobs, sizeof(blobs), "%s/blobs", w->dir);
	assert_int_equal(mkdir(w->logs, 0700), 0);
	assert_int_equal(blob_store_open(blobs, &w->blobs, &fault), RC_OK);
	assert_int_equal(wrap_key_generate(&w->master), RC_OK);
	w->limits = engine_limits_default();
	w->limits.retry_first_ms = 10;
	w->limits.retry_max_ms = 20;
	start(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);
	struct fault fault;

	stop(w);
	blob_store_close(w->blobs);
	assert_int_equal(fs_remove_tree(fd, w->dir + 5, &fault), RC_OK);
	(void)close(fd);
	free(w);
	return 0;
}

/* ---- tasks ---- */

struct making {
	struct store_job job;
	struct world *world;
	const char *script;
	bool health, deploy, guided;
	uint32_t retries;
	uint64_t memory; /* bytes */
};

static void make_machine(struct db *db)
{
	struct store_machine m = { .enabled = true, .created_ms = 1 };
	struct fault fault;

	(void)snprintf(m.id, sizeof(m.id), "%s", MACHINE);
	(void)snprintf(m.name, sizeof(m.name), "web-01");
	assert_int_equal(names_add(&m.roles, "web"), RC_OK);
	if (store_machine_create(db, &m, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	names_clear(&m.roles);
}

static const char *const process_text = "project: shop\n"
					"steps:\n"
					"  - name: roll out\n"
					"    roles: [web]\n"
					"    steps:\n"
					"      - name: say\n"
					"        run: echo $Greeting\n"
					"variables:\n"
					"  Greeting: { value: hello }\n"
					"  Password: { sensitive: true }\n";

/* A release whose one sensitive variable is wrapped by the master key. */
static void make_release(struct world *w, struct db *db)
{
	char context[API_VARIABLE_CONTEXT_SIZE];
	uint8_t wrapped[sizeof(SECRET) - 1 + WRAP_OVERHEAD];
	char hex[2 * sizeof(wrapped) + 1];
	struct variable v = { .name = (char[]){ "Password" },
		.value = hex,
		.sensitive = true,
		.wrapped = true };
	const struct release_snapshot snapshot = {
		.project = (char[]){ "shop" },
		.version = (char[]){ "1.0" },
		.process = strdup(process_text),
		.variables = { .items = &v, .count = 1 },
	};
	struct store_project project = { .name = "shop", .created_ms = 1 };
	struct store_release release = { .project = "shop",
		.version = "1.0",
		.created_ms = 1,
		.project_version = 1 };
	struct fault fault = { .code = REASON_NONE };

	api_variable_context("Password", context);
	assert_int_equal(wrap_seal(&w->master, context, (const uint8_t *)SECRET,
			     strlen(SECRET), wrapped),
	    RC_OK);
	hex_encode(wrapped, sizeof(wrapped), hex);
	assert_int_equal(
	    release_snapshot_build(&snapshot, &release.snapshot), RC_OK);
	project.process = snapshot.process;
	if (store_project_create(db, &project, &fault) != RC_OK ||
	    store_release_create(db, &release, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	free(release.snapshot);
	free(snapshot.process);
}

static struct plan *make_plan(const struct making *m)
{
	static const char *const roles[] = { "web" };
	const struct plan_machine machine = { .id = MACHINE,
		.name = "web-01",
		.roles = roles,
		.role_count = 1,
		.enabled = true };
	const struct plan_script script = {
		.name = "say", .text = m->script, .world.memory = m->memory
	};
	const struct plan_request request = { .queue_ms = 60000,
		.deployment = m->deploy ? 1 : 0,
		.environment = m->deploy ? "prod" : NULL,
		.release = m->deploy ? "1.0" : NULL,
		.machines = { .items = &machine, .count = 1 } };
	struct process *process = NULL;
	struct plan *plan = NULL;
	struct fault fault = { .code = REASON_NONE };
	enum rc rc;

	if (m->deploy) {
		rc = process_parse("process.yaml", process_text,
		    strlen(process_text), &process, &fault);
		if (rc == RC_OK)
			rc = planner_deploy(process, &request, &plan, &fault);
	} else if (m->health) {
		rc = planner_health(NULL, &request, &plan, &fault);
	} else {
		rc = planner_script(&script, &request, &plan, &fault);
	}
	if (rc != RC_OK)
		fail_msg("%s", fault.text);
	process_free(process);
	return plan;
}

static enum rc make(struct db *db, struct store_job *job)
{
	struct making *m = CONTAINER_OF(job, struct making, job);
	struct store_task task = { .kind = m->health   ? TASK_HEALTH
		                           : m->deploy ? TASK_DEPLOY
		                                       : TASK_RUN,
		.created_ms = 1,
		.machine_count = 1 };
	const struct store_environment prod = { .name = "prod" };
	struct plan *plan = make_plan(m);
	char *payloads[4] = { NULL };
	struct store_task_new n = { .task = &task,
		.plan = plan->task,
		.payloads = (const char *const *)payloads,
		.payload_count = (uint32_t)plan->payload_count };
	struct fault fault = { .code = REASON_NONE };

	plan->task->guided = m->guided;
	plan->task->blocks[0].actions[0].retries = m->retries;
	make_machine(db);
	if (m->deploy) {
		assert_int_equal(
		    store_environment_create(db, &prod, &fault), RC_OK);
		make_release(m->world, db);
		(void)snprintf(task.project, sizeof(task.project), "shop");
		(void)snprintf(task.release, sizeof(task.release), "1.0");
		(void)snprintf(
		    task.environment, sizeof(task.environment), "prod");
	}
	for (size_t i = 0; i < plan->payload_count; i++)
		assert_int_equal(
		    plan_payload_to_json(&plan->payloads[i], &payloads[i]),
		    RC_OK);
	if (store_task_create(db, &n, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	for (size_t i = 0; i < plan->payload_count; i++)
		free(payloads[i]);
	m->world->task = task.row.number;
	plan_free(plan);
	return RC_OK;
}

static void create(struct world *w, const struct making *what)
{
	struct making m = *what;

	m.world = w;
	m.job.run = make;
	assert_int_equal(store_call(w->store, &m.job), RC_OK);
	dispatch_task_created(w->dispatch, w->task);
}

static const struct making a_script = { .script = "echo hi" };

/* ---- what came of it ---- */

struct looking {
	struct store_job job;
	struct world *world;
};

static enum rc look(struct db *db, struct store_job *job)
{
	struct world *w = CONTAINER_OF(job, struct looking, job)->world;
	const struct run_key key = { .task = w->task };
	struct store_task task;
	struct fault fault;
	enum rc rc = store_task_get(db, w->task, &task, &fault);

	if (rc == RC_OK)
		w->row = task.row;
	if (rc == RC_OK && store_run_get(db, &key, &w->run) != RC_OK)
		w->run = (struct store_run){ .log_size = 0 };
	return rc;
}

static void read_rows(struct world *w)
{
	struct looking l = { .job.run = look, .world = w };

	assert_int_equal(store_call(w->store, &l.job), RC_OK);
}

static bool has_ended(struct world *w)
{
	struct dispatch_counts counts;

	read_rows(w);
	dispatch_count(w->dispatch, &counts);
	return task_state_is_final(w->row.state) && counts.tasks == 0 &&
	       is_idle(w);
}

static bool has_started(struct world *w)
{
	return w->fleet.starts > 0;
}

static bool is_running_with_its_log(struct world *w)
{
	read_rows(w);
	return w->run.log_size == strlen(LOG) && is_idle(w);
}

static void check_log(const struct world *w)
{
	const struct run_key key = { .task = w->task };
	char path[160];
	uint8_t *text = NULL;
	size_t len;
	struct fault fault;

	assert_int_equal(
	    api_log_path(w->logs, &key, path, sizeof(path)), RC_OK);
	assert_int_equal(
	    fs_read_file(path, 1 << 20, &text, &len, &fault), RC_OK);
	assert_string_equal((char *)text, LOG);
	free(text);
	assert_int_equal(w->run.log_size, strlen(LOG));
	assert_true(w->run.log_ended);
}

static void check_success(struct world *w)
{
	assert_int_equal(run_until(w, has_ended), RC_OK);
	assert_int_equal(w->row.state, TASK_SUCCEEDED);
	assert_int_equal(w->run.row.state, RUN_SUCCEEDED);
	assert_int_equal(w->fleet.runs, 1);
	check_log(w);
}

static void test_a_script_runs_once_and_its_log_is_kept(void **state)
{
	struct world *w = *state;

	create(w, &a_script);
	check_success(w);
	assert_int_equal(w->fleet.starts, 1);
	assert_int_equal(w->fleet.forgets, 1);
}

static void test_a_machine_that_is_not_reached_is_tried_again(void **state)
{
	struct world *w = *state;

	w->fleet.unreachable = 3;
	create(w, &a_script);
	check_success(w);
	assert_int_equal(w->fleet.starts, 1);
	assert_int_equal(w->run.row.tries, 4);
}

static void test_an_old_tentacle_is_not_asked_for_what_it_would_ignore(
    void **state)
{
	const struct making limited = { .script = "echo hi",
		.memory = UINT64_C(64) << 20 };
	struct world *w = *state;

	w->fleet.lacks = FEATURE_BIT(FEATURE_LIMITS);
	create(w, &limited);
	assert_int_equal(run_until(w, has_ended), RC_OK);
	assert_int_equal(w->row.state, TASK_FAILED);
	assert_int_equal(w->fleet.starts, 0);
	assert_int_equal(w->run.row.tries, 1);
	assert_int_equal(w->run.row.fault.code, REASON_VERSION);
	assert_string_equal(w->run.row.fault.text,
	    "web-01: its tentacle is too old to limit a script's memory or "
	    "processes, as 'say' asks; upgrade it");
}

static void test_an_old_tentacle_runs_what_needs_nothing_new(void **state)
{
	struct world *w = *state;

	w->fleet.lacks = FEATURE_ALL;
	create(w, &a_script);
	check_success(w);
}

static void test_a_broken_stream_goes_on_where_it_stopped(void **state)
{
	struct world *w = *state;

	w->fleet.cut = 12;
	create(w, &a_script);
	check_success(w);
	assert_int_equal(w->fleet.attaches, 2);
	assert_int_equal(w->fleet.last_offset, 12);
}

static void test_a_restart_in_mid_script_starts_nothing_twice(void **state)
{
	struct world *w = *state;

	w->fleet.hold = true;
	create(w, &a_script);
	assert_int_equal(run_until(w, is_running_with_its_log), RC_OK);
	assert_int_equal(w->fleet.last_epoch, 1);
	stop(w);
	start(w);
	w->fleet.hold = false;
	check_success(w);
	/* So the machine hears that the task has a new owner. */
	assert_int_equal(w->fleet.last_epoch, 2);
	assert_int_equal(w->fleet.starts, 1);
	assert_int_equal(w->fleet.last_offset, strlen(LOG));
}

static void test_a_start_without_answer_is_sent_again_by_its_ticket(
    void **state)
{
	struct world *w = *state;
	char ticket[ID_SIZE];

	w->fleet.mute = true;
	create(w, &a_script);
	assert_int_equal(run_until(w, has_started), RC_OK);
	memcpy(ticket, w->fleet.ticket, sizeof(ticket));
	stop(w);
	w->fleet.mute = false;
	start(w);
	check_success(w);
	assert_int_equal(w->fleet.starts, 2);
	assert_string_equal(w->fleet.ticket, ticket);
}

/* Bytes beyond the committed length, as after a crash: the same are written
 * over them. */
static void test_output_written_twice_is_there_once(void **state)
{
	struct world *w = *state;
	char path[160];
	int fd;

	w->fleet.mute = true;
	create(w, &a_script);
	assert_int_equal(run_until(w, has_started), RC_OK);
	stop(w);
	const struct run_key key = { .task = w->task };
	assert_int_equal(
	    api_log_path(w->logs, &key, path, sizeof(path)), RC_OK);
	*strrchr(path, '/') = '\0';
	(void)mkdir(path, 0700);
	assert_int_equal(
	    api_log_path(w->logs, &key, path, sizeof(path)), RC_OK);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, LOG, 20), RC_OK);
	(void)close(fd);
	w->fleet.mute = false;
	start(w);
	check_success(w);
	assert_int_equal(w->fleet.last_offset, 0);
}

static void test_a_cancel_stops_a_running_script(void **state)
{
	struct world *w = *state;

	w->fleet.hold = true;
	create(w, &a_script);
	assert_int_equal(run_until(w, is_running_with_its_log), RC_OK);
	dispatch_task_cancel(w->dispatch, w->task, "anna");
	assert_int_equal(run_until(w, has_ended), RC_OK);
	assert_int_equal(w->row.state, TASK_CANCELLED);
	assert_true(w->fleet.cancels >= 1);
	assert_non_null(strstr(w->row.fault.text, "anna"));
	check_log(w);
}

static void test_a_long_script_goes_as_a_blob_first(void **state)
{
	struct world *w = *state;
	struct making m = { .script = NULL };
	char *body = malloc(60001);

	assert_non_null(body);
	memset(body, '#', 60000);
	body[60000] = '\0';
	m.script = body;
	create(w, &m);
	check_success(w);
	assert_int_equal(w->fleet.staged, 1);
	free(body);
}

static void test_a_check_of_health_is_kept_with_the_machine(void **state)
{
	const struct making m = { .health = true };
	struct world *w = *state;

	create(w, &m);
	assert_int_equal(run_until(w, has_ended), RC_OK);
	assert_int_equal(w->row.state, TASK_SUCCEEDED);
	assert_int_equal(w->run.row.health, MACHINE_HEALTH_WARNINGS);
	assert_int_equal(w->fleet.health, 1);
}

static bool was_checked_twice(struct world *w)
{
	return w->fleet.health >= 2 && is_idle(w);
}

static void test_machines_are_checked_on_schedule(void **state)
{
	struct world *w = *state;

	create(w, &a_script); /* and its machine */
	check_success(w);
	stop(w);
	w->interval_ms = 100;
	start(w);
	assert_int_equal(run_until(w, was_checked_twice), RC_OK);
}

static bool was_asked_twice(struct world *w)
{
	return w->fleet.asked >= 2 && is_idle(w);
}

/* The machine remembers a ticket whose end is committed here. */
static void check_again(struct world *w)
{
	w->fleet.remembers = true;
	stop(w);
	w->interval_ms = 100;
	start(w);
	assert_int_equal(run_until(w, was_asked_twice), RC_OK);
}

static void test_a_machine_is_told_again_what_it_may_forget(void **state)
{
	struct world *w = *state;

	create(w, &a_script);
	check_success(w);
	assert_int_equal(w->fleet.forgets, 1);
	check_again(w);
	assert_true(w->fleet.forgets >= 2);
}

static void test_what_a_machine_may_know_of_an_unknown_run_is_kept_there(
    void **state)
{
	struct world *w = *state;

	w->fleet.clueless = true;
	create(w, &a_script);
	assert_int_equal(run_until(w, has_ended), RC_OK);
	assert_int_equal(w->run.row.state, RUN_UNKNOWN);
	check_again(w);
	assert_int_equal(w->fleet.forgets, 0);
}

/* Is this text anywhere in the database, its log or the logs of scripts? */
static bool is_on_disk(const struct world *w, const char *text)
{
	static const char *const files[] = { "longarm.db", "longarm.db-wal" };
	char path[128];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		uint8_t *bytes = NULL;
		size_t len;
		struct fault fault;
		bool found;

		(void)snprintf(path, sizeof(path), "%s/%s", w->dir, files[i]);
		if (fs_read_file(path, 1 << 26, &bytes, &len, &fault) != RC_OK)
			continue;
		found = memmem(bytes, len, text, strlen(text)) != NULL;
		free(bytes);
		if (found)
			return true;
	}
	return false;
}

/* Is its log, of all attempts, there so many times? */
static void check_logs(const struct world *w, unsigned times)
{
	const struct run_key key = { .task = w->task };
	char path[160];
	uint8_t *text = NULL;
	size_t len;
	struct fault fault;

	assert_int_equal(
	    api_log_path(w->logs, &key, path, sizeof(path)), RC_OK);
	assert_int_equal(
	    fs_read_file(path, 1 << 20, &text, &len, &fault), RC_OK);
	assert_int_equal(len, times * strlen(LOG));
	for (unsigned i = 0; i < times; i++)
		assert_memory_equal(text + i * strlen(LOG), LOG, strlen(LOG));
	free(text);
	assert_int_equal(w->run.log_size, times * strlen(LOG));
	assert_true(w->run.log_ended);
}

static void test_each_attempt_writes_behind_those_before(void **state)
{
	struct world *w = *state;
	const struct making m = { .script = "echo hi", .retries = 2 };

	w->fleet.failing = 2;
	w->fleet.cut = 12;
	create(w, &m);
	assert_int_equal(run_until(w, has_ended), RC_OK);
	assert_int_equal(w->row.state, TASK_SUCCEEDED);
	assert_int_equal(w->run.row.attempt, 3);
	assert_int_equal(w->fleet.runs, 3);
	assert_int_equal(w->fleet.forgets, 3);
	check_logs(w, 3);
}

static bool waits(struct world *w)
{
	read_rows(w);
	return w->row.waiting == 1 && is_idle(w);
}

struct deciding {
	struct store_job job;
	struct store_verdict verdict;
};

static enum rc decide(struct db *db, struct store_job *job)
{
	const struct deciding *d = CONTAINER_OF(job, struct deciding, job);
	struct fault fault;
	uint32_t count;

	return store_decide(db, &d->verdict, &count, &fault);
}

static enum rc say(struct world *w, enum task_verb verb)
{
	struct deciding d = { .job.run = decide,
		.verdict = { .number = w->task,
		    .verb = verb,
		    .machine = "web-01",
		    .who = "anna",
		    .at_ms = 7 } };

	return store_call(w->store, &d.job);
}

static void test_a_guided_task_waits_for_a_decision_also_over_a_restart(
    void **state)
{
	struct world *w = *state;
	const struct making m = { .script = "echo hi", .guided = true };

	w->fleet.failing = 2;
	create(w, &m);
	assert_int_equal(run_until(w, waits), RC_OK);
	assert_int_equal(w->run.row.state, RUN_FAILED);
	assert_int_equal(say(w, VERB_SUCCEEDED), RC_STATE); /* it is known */
	assert_int_equal(say(w, VERB_RETRY), RC_OK);
	assert_int_equal(say(w, VERB_IGNORE), RC_STATE); /* too late */
	dispatch_task_decided(w->dispatch, w->task);
	assert_int_equal(run_until(w, waits), RC_OK);
	assert_int_equal(w->run.row.attempt, 2);
	/* Nobody was told of this one before the server went away. */
	assert_int_equal(say(w, VERB_RETRY), RC_OK);
	stop(w);
	start(w);
	assert_int_equal(run_until(w, has_ended), RC_OK);
	assert_int_equal(w->row.state, TASK_SUCCEEDED);
	assert_int_equal(w->run.row.attempt, 3);
	assert_int_equal(w->row.waiting, 0);
	check_logs(w, 3);
}

static void test_a_secret_goes_out_and_is_never_in_a_row(void **state)
{
	const struct making m = { .deploy = true };
	struct world *w = *state;

	create(w, &m);
	check_success(w);
	assert_string_equal(w->fleet.secret, SECRET);
	assert_true(is_on_disk(w, "hello")); /* the search finds things */
	assert_false(is_on_disk(w, SECRET));
}

static void test_a_lost_master_key_fails_the_task_with_words(void **state)
{
	const struct making m = { .deploy = true };
	struct world *w = *state;

	w->fleet.unreachable = UINT32_MAX;
	create(w, &m);
	assert_int_equal(run_until(w, is_idle), RC_OK);
	stop(w);
	assert_int_equal(wrap_key_generate(&w->master), RC_OK);
	w->fleet.unreachable = 0;
	start(w);
	assert_int_equal(run_until(w, has_ended), RC_OK);
	assert_int_equal(w->row.state, TASK_FAILED);
	assert_int_equal(w->fleet.runs, 0);
	assert_non_null(strstr(w->run.row.fault.text, "Password"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_script_runs_once_and_its_log_is_kept),
		TEST(test_a_machine_that_is_not_reached_is_tried_again),
		TEST(
		    test_an_old_tentacle_is_not_asked_for_what_it_would_ignore),
		TEST(test_an_old_tentacle_runs_what_needs_nothing_new),
		TEST(test_a_broken_stream_goes_on_where_it_stopped),
		TEST(test_a_restart_in_mid_script_starts_nothing_twice),
		TEST(test_a_start_without_answer_is_sent_again_by_its_ticket),
		TEST(test_output_written_twice_is_there_once),
		TEST(test_a_cancel_stops_a_running_script),
		TEST(test_a_long_script_goes_as_a_blob_first),
		TEST(test_a_check_of_health_is_kept_with_the_machine),
		TEST(test_machines_are_checked_on_schedule),
		TEST(test_a_machine_is_told_again_what_it_may_forget),
		TEST(
		    test_what_a_machine_may_know_of_an_unknown_run_is_kept_there),
		TEST(test_each_attempt_writes_behind_those_before),
		TEST(
		    test_a_guided_task_waits_for_a_decision_also_over_a_restart),
		TEST(test_a_secret_goes_out_and_is_never_in_a_row),
		TEST(test_a_lost_master_key_fails_the_task_with_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
