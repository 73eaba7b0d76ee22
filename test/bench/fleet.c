#include "test/bench/fleet.h"

#include "common/fs.h"
#include "proto/lenframe.h"
#include "proto/message_control.h"
#include "proto/message_seal.h"
#include "test/bench/meter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NODE       "n1"
#define PAGE       100
#define DIALLING   64 /* at once */
#define OPEN_MS    30000
#define ALL_CREDIT (UINT32_C(0x7fffffff))

static void give_up(struct fleet *f, const char *what, const char *why)
{
	f->events->failed(f->owner, what, why);
}

/* --- Sockets -------------------------------------------------------------- */

static MUST_CHECK int connect_to(int fd, const char *text)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct endpoint e;
	struct fault fault;

	if (fd < 0)
		return -1;
	if (endpoint_parse(text, 0, &e, &fault) == RC_OK &&
	    inet_pton(AF_INET, e.host, &to.sin_addr) == 1) {
		to.sin_port = htons(e.port);
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
		    fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
			return fd;
	}
	(void)close(fd);
	return -1;
}

/* --- Machines ------------------------------------------------------------- */

static void dial_machines(struct fleet *f)
{
	const struct tls_expect expect = { .roles = TRUST_ROLE(ROLE_RELAY),
		.name = FLEET_RELAY };
	const struct fleet_settings *s = f->settings;

	while (f->dialling < s->machines && f->dialling < f->up + DIALLING) {
		struct fleet_machine *m = &f->machines[f->dialling++];
		int fd;

		if (m->net != NULL) /* it is dialled */
			continue;
		fd = connect_to(meter_socket(s->far_ns), s->relay_far);
		link_net_set_contexts(f->far_net, m->contexts);
		if (fd < 0) {
			give_up(f, "a machine cannot connect",
			    strerrordesc_np(errno));
			return;
		}
		if (link_new(f->far_net, fd, &expect, s->relay_far, &m->link) !=
		    RC_OK) {
			give_up(f, "a machine's link", "cannot begin");
			return;
		}
		link_set_data(m->link, m);
	}
}

static void look_whether_ready(struct fleet *f)
{
	if (f->is_ready || f->up < f->settings->machines ||
	    f->present < f->settings->machines)
		return;
	f->is_ready = true;
	f->events->ready(f->owner);
}

static void on_machine_up(struct fleet *f, struct link *link)
{
	struct fleet_machine *m = link_data(link);

	if (m == NULL)
		return;
	m->link = link;
	f->up++;
	dial_machines(f);
	look_whether_ready(f);
}

static void on_far_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct fleet *f = owner;

	if (event->type == LINK_UP)
		on_machine_up(f, link);
	else if (event->type == LINK_OPENED)
		f->events->opened(f->owner, link_data(link), event);
	else if (event->type == LINK_DOWN)
		give_up(f, "a machine's link", event->fault->text);
}

/* Of a machine with a net of its own. */
static void on_own_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct fleet_machine *m = owner;

	link_set_data(link, m);
	on_far_link(m->fleet, link, event);
}

static void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	(void)owner;
	(void)peer;
	hello->has_instance = true;
	hello->instance.start = (uint64_t)time(NULL);
	memset(hello->instance.journal, 'a', ID_SIZE - 1);
	memset(hello->instance.nonce, 'b', ID_SIZE - 1);
}

static enum rc admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	(void)owner;
	(void)link;
	(void)hello;
	(void)fault;
	return RC_OK;
}

static const struct link_ops far_ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_far_link,
};

static const struct link_ops own_ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_own_link,
};

static MUST_CHECK enum rc make_listener(
    struct fleet *f, struct fleet_machine *m, struct fault *fault)
{
	const struct config_endpoint any = { .host = "127.0.0.1" };
	enum rc rc = link_net_new(
	    f->loop, f->pool, &f->far_config, &own_ops, m, &m->net);

	if (rc != RC_OK)
		return rc;
	link_net_set_contexts(m->net, m->contexts);
	link_net_set_name(m->net, m->id);
	return listener_new(m->net, &any, &m->listener, fault);
}

static MUST_CHECK enum rc make_machines(struct fleet *f, struct fault *fault)
{
	const uint32_t count = f->settings->machines;
	enum rc rc = RC_OK;

	f->machines = calloc(count, sizeof(*f->machines));
	if (f->machines == NULL)
		return RC_NOMEM;
	for (; f->made < count && rc == RC_OK; f->made++) {
		struct fleet_machine *m = &f->machines[f->made];

		m->fleet = f;
		(void)snprintf(m->id, sizeof(m->id), "7f%030u", f->made + 1);
		rc = authority_issue(
		    &f->authority, ROLE_TENTACLE, m->id, &m->identity, fault);
		if (rc == RC_OK)
			rc = tls_contexts_new(m->identity, f->authority.trust,
			    &m->contexts, fault);
		if (rc == RC_OK && f->made < f->settings->dialled)
			rc = make_listener(f, m, fault);
	}
	return rc;
}

/* --- The control session -------------------------------------------------- */

static void send_packed(struct fleet *f, enum rc rc, struct packbuf *pack)
{
	if (rc == RC_OK)
		rc = seal_send(f->control, packbuf_bytes(pack));
	packbuf_fini(pack);
	if (rc != RC_OK)
		give_up(f, "a message to the relay", rc_name(rc));
}

static void put_entry(struct fleet *f, uint32_t i, struct msg_neighbour *from,
    struct msg_table_entry *e)
{
	const struct fleet_machine *m = &f->machines[i];

	*e = (struct msg_table_entry){
		.seq = i + 1,
		.how = m->listener != NULL ? ROUTE_DIAL : ROUTE_DIALS_ME,
		.from = from,
		.from_count = 1,
	};
	if (m->listener != NULL)
		(void)snprintf(e->endpoint, sizeof(e->endpoint), "%s",
		    listener_address(m->listener));
	(void)snprintf(e->target, sizeof(e->target), "machine/%s", m->id);
	(void)snprintf(e->name, sizeof(e->name), "web-%u", i + 1);
}

/* As many pages as the seal takes; the rest when it is writable. */
static void send_table(struct fleet *f)
{
	static struct msg_table_entry entries[PAGE];
	struct msg_neighbour from = { .role = ROLE_SERVER, .name = NODE };
	const uint32_t count = f->settings->machines;
	enum rc rc = RC_OK;

	while (f->tabled < count && rc == RC_OK) {
		struct msg_table_page page = {
			.incarnation = { .secs = f->life_s },
			.seq = count,
			.page = f->tabled / PAGE,
			.entries = entries,
		};
		struct packbuf pack;

		while (page.entry_count < PAGE &&
		       f->tabled + page.entry_count < count) {
			put_entry(f, f->tabled + (uint32_t)page.entry_count,
			    &from, &entries[page.entry_count]);
			page.entry_count++;
		}
		page.last = f->tabled + page.entry_count == count;
		memset(page.incarnation.random, 'c', ID_SIZE - 1);
		packbuf_init(&pack, LENFRAME_CONTROL_MAX);
		rc = msg_table_page_encode(&page, &pack);
		if (rc == RC_OK)
			rc = seal_send(f->control, packbuf_bytes(&pack));
		packbuf_fini(&pack);
		if (rc == RC_OK)
			f->tabled += (uint32_t)page.entry_count;
	}
	if (rc != RC_OK && rc != RC_AGAIN)
		give_up(f, "the route table", rc_name(rc));
}

static void on_greet(struct fleet *f)
{
	struct msg_welcome welcome = { .node = NODE,
		.incarnation.secs = f->life_s };
	const struct msg_presence_sub sub = { 0 };
	struct packbuf pack;

	memset(welcome.incarnation.random, 'c', ID_SIZE - 1);
	packbuf_init(&pack, 4096);
	send_packed(f, msg_welcome_encode(&welcome, &pack), &pack);
	packbuf_init(&pack, 4096);
	send_packed(f, msg_presence_sub_encode(&sub, &pack), &pack);
	send_table(f);
}

static void on_presence(struct fleet *f, struct bytes message)
{
	struct msg_presence m;
	struct fault fault;

	if (msg_presence_decode(message, &m, &fault) != RC_OK) {
		give_up(f, "presence", fault.text);
		return;
	}
	if (m.whole)
		f->present = 0;
	for (size_t i = 0; i < m.change_count; i++)
		f->present += m.changes[i].up;
	msg_presence_clear(&m);
	look_whether_ready(f);
}

static void on_ack(struct fleet *f, struct bytes message)
{
	struct msg_table_ack ack;
	struct fault fault;

	if (msg_table_ack_decode(message, &ack, &fault) != RC_OK ||
	    ack.seq != f->settings->machines || f->acked)
		return;
	f->acked = true;
	dial_machines(f);
}

static void on_control(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct fleet *f = arg;
	struct msg_head head;
	struct fault fault;

	(void)seal;
	if (event->type == SEAL_CLOSED) {
		f->control = NULL;
		give_up(f, "the control session", event->fault->text);
	} else if (event->type == SEAL_WRITABLE) {
		send_table(f);
	} else if (event->type == SEAL_MESSAGE &&
		   msg_peek(event->message, &head, &fault) == RC_OK) {
		if (head.op == OP_GREET)
			on_greet(f);
		else if (head.op == OP_PRESENCE)
			on_presence(f, event->message);
		else if (head.op == OP_TABLE_ACK)
			on_ack(f, event->message);
	}
}

static void open_control(struct fleet *f)
{
	const struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_RELAY, .name = FLEET_RELAY },
		.service_class = CLASS_CONTROL,
		.deadline_ms = OPEN_MS,
	};
	const struct seal_far far = {
		.kind = TLS_SEAL_CLIENT,
		.contexts = f->contexts,
		.expect = { .roles = TRUST_ROLE(ROLE_RELAY),
		    .name = FLEET_RELAY },
	};
	const struct seal_user user = { .fn = on_control,
		.arg = f,
		.message_max = LENFRAME_CONTROL_MAX,
		.open_ms = OPEN_MS };

	if (seal_dial(f->link, &open, &far, &user, &f->control) != RC_OK)
		give_up(f, "the control session", "cannot begin");
}

/* --- The node ------------------------------------------------------------- */

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct fleet *f = owner;

	if (event->type == LINK_UP) {
		f->link = link;
		open_control(f);
	} else if (event->type == LINK_DOWN) {
		f->link = NULL;
		give_up(f, "the node's link", event->fault->text);
	}
}

static const struct link_ops node_ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_link,
};

static MUST_CHECK enum rc dial_relay(struct fleet *f)
{
	const struct tls_expect expect = { .roles = TRUST_ROLE(ROLE_RELAY),
		.name = FLEET_RELAY };
	const char *to = f->settings->relay;
	struct link *link;
	int fd = connect_to(meter_socket(NULL), to);

	return fd < 0 ? RC_IO : link_new(f->net, fd, &expect, to, &link);
}

static MUST_CHECK enum rc make_node(struct fleet *f, struct fault *fault)
{
	enum rc rc = authority_issue(
	    &f->authority, ROLE_SERVER, NODE, &f->identity, fault);

	if (rc == RC_OK)
		rc = tls_contexts_new(
		    f->identity, f->authority.trust, &f->contexts, fault);
	if (rc == RC_OK)
		rc = link_net_new(
		    f->loop, f->pool, &f->config, &node_ops, f, &f->net);
	if (rc == RC_OK)
		rc = link_net_new(
		    f->loop, f->pool, &f->far_config, &far_ops, f, &f->far_net);
	if (rc == RC_OK)
		link_net_set_contexts(f->net, f->contexts);
	return rc;
}

enum rc fleet_new(struct loop *loop, const struct fleet_settings *settings,
    const struct fleet_events *events, void *owner, struct fleet **out,
    struct fault *fault)
{
	struct fleet *f = calloc(1, sizeof(*f));
	char path[FS_PATH_MAX];
	enum rc rc;

	if (f == NULL)
		return RC_NOMEM;
	f->loop = loop;
	f->settings = settings;
	f->events = events;
	f->owner = owner;
	f->life_s = (uint64_t)time(NULL);
	link_config_default(&f->config);
	f->far_config = f->config;
	if (settings->greedy) {
		f->far_config.mux.max_window = ALL_CREDIT;
		f->far_config.mux.recv_budget = UINT64_C(1) << 40;
		f->far_config.receive_budget = UINT64_C(1) << 40;
	}
	rc = worker_pool_new(loop, 1, 4 * settings->machines + 100, &f->pool);
	if (rc == RC_OK)
		rc = fs_join(path, sizeof(path), settings->keys, "authority");
	if (rc == RC_OK)
		rc = authority_load(path, &f->authority, fault);
	if (rc == RC_OK)
		rc = make_node(f, fault);
	if (rc == RC_OK)
		rc = make_machines(f, fault);
	if (rc == RC_OK) {
		rc = dial_relay(f);
		if (rc != RC_OK)
			fault_set(fault, REASON_RELAY_DOWN, "",
			    "cannot connect to %s", settings->relay);
	}
	*out = f;
	return rc;
}

enum rc fleet_open(struct fleet *f, uint32_t machine, enum stream_class class,
    struct stream_user *user, uint32_t *stream)
{
	struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE },
		.service_class = class,
		.deadline_ms = OPEN_MS,
	};

	(void)snprintf(
	    open.to.name, sizeof(open.to.name), "%s", f->machines[machine].id);
	return link_open(f->link, &open, user, stream);
}
