#include "test/support/samples.h"

#include "test/support/recode.h"

#define ID_A   "0123456789abcdef0123456789abcdef"
#define ID_B   "ffeeddccbbaa99887766554433221100"
#define DIGEST ID_A ID_B

/* A literal as bytes that a static initialiser accepts. */
#define B(text)                                                                \
	{                                                                      \
		(const uint8_t *)(text), sizeof(text) - 1                      \
	}
#define TOKEN B("12345678901234567890123456789012")

static struct msg_pair pairs[] = {
	{ B("PATH"), B("/usr/bin:/bin") },
	{ B("Database.Url"), B("postgres://\0\xff") },
	{ B("EMPTY"), { NULL, 0 } },
};
static struct bytes globs[] = { B("conf/*.ini"), B("web.config") };
static struct bytes certificates[] = { B("0\x82\x01"), B("0\x82\x02") };
static struct msg_id ids[] = { { ID_A }, { ID_B } };

static const struct msg_open sample_open = {
	.kind = KIND_SEAL,
	.to = { TARGET_MACHINE, ID_A },
	.path = { 2, { "dc2-a", "dc2-c" } },
	.service_class = CLASS_HEALTH,
	.version = { 1700000000, 17 },
	.deadline_ms = 5000,
	.trace = "t-1",
	.passed = { 1, { "dc1" } },
};
static const struct msg_accept sample_accept = { 65536, "dc2-a/dc2-c" };
static const struct msg_reset sample_reset = {
	{ REASON_NO_ROUTE, "relay dc2-a", "no route to m\xc3\xbcller" }, true
};
static const struct msg_goaway sample_goaway = { 7,
	{ REASON_DRAINING, "", "update" }, 1000 };
static const struct msg_hello sample_hello = {
	.proto_min = 1,
	.proto_max = 2,
	.version = B("0.1.0"),
	.features = { globs, 2 },
	.has_instance = true,
	.instance = { ID_A, 3, ID_B },
	.limits = { 1000, 8 << 20 },
	.boot_id = ID_A,
	.revocations = { 1, UINT64_MAX },
	.refused = { REASON_REVOKED, "server", "certificate 17" },
	.retry_ms = 3000,
};
static const struct msg_hello sample_hello_anonymous = {
	.proto_min = 1,
	.proto_max = 1,
	.version = B("0.1.0"),
};
static const struct msg_tell sample_tell = { TELL_BUDGET, 1 << 20, { 3, 4 } };
static const struct msg_greet sample_greet = {
	.instance = { ID_A, 3, ID_B },
	.counter = 99,
	.succession = TOKEN,
	.revocations = { 1, 2 },
	.version = B("0.1.0"),
	.features = { globs, 2 },
	.table_version = 12,
	.trust = 3,
	.listen = "10.2.0.1:10953",
	.quarantine = true,
	.term = TOKEN,
};
static const struct msg_welcome sample_welcome = {
	.node = "node-1",
	.incarnation = { 1700000000, ID_B },
	.revocations = { 5, 6 },
	.term = TOKEN,
};
static const struct msg_confirm sample_confirm = { 100 };
static const struct msg_health sample_health = { 1, B("#!/bin/sh\nexit 0\n"),
	3000, true };

static struct msg_disk disks[] = {
	{ B("/"), 1000000, 5000 },
	{ B("/var/lib"), 2, 1 },
};
static const struct msg_health_reply sample_health_reply = {
	.reply = { 1, ID_A, 12, { REASON_NONE, "", "" } },
	.state = HEALTH_WARNINGS,
	.exit_code = -3,
	.output = B("disk is nearly full\n\xff"),
	.truncated = true,
	.ended = 3,
	.has_facts = true,
	.facts = { B("Debian 12"), B("6.1"), B("x86_64"), B("web-03"),
	    B("0.1.0"), 1234, 1700000000123, { 10, 200, 3000 }, 16, 8, disks,
	    2 },
};
static const struct msg_health_reply sample_health_refused = {
	.reply = { 1, ID_A, 12, { REASON_TOO_MANY, "web-03", "busy" } },
	.state = HEALTH_UNHEALTHY, /* left out */
};
static const struct msg_start sample_start = {
	.id = UINT32_MAX,
	.ticket = ID_A,
	.task = "task-17",
	.epoch = 4,
	.incarnation = { 1700000000, ID_B },
	.journal = ID_B,
	.counter = 11,
	.supersedes = { ids, 2 },
	.timeout_ms = 60000,
	.user = "www-data",
	.memory = 268435456,
	.processes = 64,
	.lock = "apt",
	.lock_shared = true,
	.action = ACTION_SCRIPT,
	.script = { .name = B("drain"),
	    .body = B("#!/bin/sh\necho\n"),
	    .environment = { pairs, 3 },
	    .secrets = { pairs + 1, 1 },
	    .package = "web",
	    .project = "shop",
	    .deployment = 9 },
};
static const struct msg_start sample_start_activate = {
	.id = 2,
	.ticket = ID_A,
	.task = "task-17",
	.incarnation = { 1, ID_A },
	.action = ACTION_ACTIVATE,
	.activate = { .project = "shop",
	    .deployment = 9,
	    .package = "web",
	    .version = "5.17.14+1",
	    .digest = DIGEST,
	    .configure = { globs, 2 },
	    .variables = { pairs, 3 },
	    .secrets = { pairs, 1 },
	    .before = B("#!/bin/sh\n"),
	    .after = B("#!/bin/sh\n"),
	    .keep = 3 },
};
static const struct msg_result sample_result = {
	.state = TICKET_EXITED,
	.exit_code = 3,
	.signal = 9,
	.cause = { REASON_SCRIPT_FAILED, "web-03", "exit code 3" },
	.log_size = 77,
	.log_sha256 = DIGEST,
	.started_ms = 1,
	.ended_ms = 2,
	.outputs = { pairs, 2 },
};
static const struct msg_start_reply sample_start_reply = {
	.reply = { 2, ID_A, 13, { REASON_NONE, "", "" } },
	.state = TICKET_EXITED,
	.has_result = true,
	.result = { .state = TICKET_CANCELLED, .outputs = { pairs, 1 } },
};
static const struct msg_cancel sample_cancel = { 3, ID_A, "task-17", 4 };
static const struct msg_cancel_reply sample_cancel_reply = {
	{ 3, ID_A, 13, { REASON_NONE, "", "" } }, TICKET_RUNNING
};
static const struct msg_tickets sample_tickets = { 4 };
static struct msg_ticket tickets[] = {
	{ ID_A, TICKET_RUNNING, 0, REASON_NONE, 5 },
	{ ID_B, TICKET_EXITED, -1, REASON_SCRIPT_FAILED, 6 },
};
static const struct msg_tickets_reply sample_tickets_reply = {
	{ 4, ID_A, 13, { REASON_NONE, "", "" } }, tickets, 2
};
static const struct msg_forget sample_forget = { 5, { ids, 2 }, "task-7", 3,
	6 };
static const struct msg_forget_reply sample_forget_reply = { { 5, "", 0,
    { REASON_NONE, "", "" } } };
static const struct msg_stage_query sample_stage_query = { 6, DIGEST };
static const struct msg_stage_query_reply sample_stage_query_reply = {
	{ 6, ID_A, 13, { REASON_NONE, "", "" } }, 4096, true
};
static const struct msg_locks sample_locks = { 7 };
static struct msg_lock locks[] = {
	{ "apt", false, true, ID_A, "task-17", 1700000000000 },
	{ "apt", true, false, ID_B, "task-18", 1700000000001 },
};
static const struct msg_locks_reply sample_locks_reply = {
	{ 7, ID_A, 13, { REASON_NONE, "", "" } }, locks, 2
};
static const struct msg_lock_break sample_lock_break = { 8, "apt" };
static const struct msg_lock_break_reply sample_lock_break_reply = {
	{ 8, ID_A, 14, { REASON_NONE, "", "" } }, 1
};
static const struct msg_attach sample_attach = { ID_A, 500, "task-7", 3, 7 };
static const struct msg_output sample_output = { 500, B("123456789"), 0 };
static const struct msg_ack sample_ack = { 509 };
static const struct msg_stage sample_stage = { DIGEST, 1 << 20, B("web"),
	B("5.17.14") };
static const struct msg_stage_from sample_stage_from = { 0, false };
static const struct msg_piece sample_piece = { 16000, B("\x1f\x8b") };
static const struct msg_staged sample_staged = { DIGEST };
static const struct msg_note sample_note = {
	.number = 3,
	.kind = NOTE_ARTIFACT,
	.name = B("report.html"),
	.text = B("a\0b"),
	.sensitive = true,
	.percent = 100,
	.warnings = 4,
	.from = 12,
	.size = 77,
	.digest = DIGEST,
};
static const struct msg_note sample_note_state = {
	.kind = NOTE_STATE,
	.text = B("copying"),
	.percent = 40,
};
static const struct msg_enrol sample_enrol = {
	.token_id = ID_A,
	.secret = TOKEN,
	.role = ROLE_TENTACLE,
	.csr = B("0\x82"),
	.hostname = B("web-03"),
	.version = B("0.1.0"),
	.os = B("Debian 12"),
	.listen = "web-03:10933",
};
static struct msg_peer peer_list[] = {
	{ ROLE_SERVER, "node-1", "10.0.0.1:10943", true },
	{ ROLE_RELAY, "dc2-a", "", false },
};
static const struct msg_enrolled sample_enrolled = {
	.chain = { certificates, 2 },
	.roots = { certificates, 1 },
	.id = ID_A,
	.name = "web-03",
	.cluster = ID_B,
	.peers = peer_list,
	.peer_count = 2,
	.succession = TOKEN,
};
static const struct msg_pending sample_pending = { 2000, "web-01" };
static struct msg_neighbour neighbours[] = {
	{ ROLE_SERVER, "node-1" },
	{ ROLE_RELAY, "dc2-a" },
};
static struct msg_table_entry entries[] = {
	{ "machine/" ID_A, 1, false, "web-03", ROUTE_DIAL, "10.0.0.3:10933", "",
	    neighbours, 2, NULL, 0 },
	{ "machine/" ID_B, 2, false, "", ROUTE_DIALS_ME, "", "", NULL, 0,
	    neighbours + 1, 1 },
	{ "relay/dc2-c", 3, false, "", ROUTE_VIA, "", "dc2-b", neighbours, 1,
	    neighbours + 1, 1 },
	{ "relay/dc2-d", 4, true, "", ROUTE_DIAL, "", "", NULL, 0, NULL, 0 },
};
static const struct msg_table_page sample_table_page = { { 1, ID_A }, 1, 4, 0,
	true, entries, 4 };
static const struct msg_table_ack sample_table_ack = { 4 };
static const struct msg_presence_sub sample_presence_sub = { 0 };
static struct msg_presence_change changes[] = {
	{ "machine/" ID_A, true, 3, { REASON_NONE, "", "" }, 2 },
	{ "relay/dc2-c", false, 0, { REASON_REFUSED, "relay dc2-a", "no" }, 0 },
};
static const struct msg_presence sample_presence = { true, changes, 2 };
static const struct msg_peers sample_peers = { 7, peer_list, 2 };
static const struct msg_peers_reply sample_peers_reply = {
	{ 7, ID_A, 1, { REASON_NONE, "", "" } }, 1
};
static const struct msg_drain sample_drain = { true };
static const struct msg_status sample_status = { 8 };
static const struct msg_status_reply sample_status_reply = {
	{ 8, ID_A, 1, { REASON_NONE, "", "" } }, 2, 30, 3600, B("0.1.0"), 4
};
static const struct msg_revoked sample_revoked = { 9, REVOKED_NODES, 12, 70000,
	49152, B("a\0b") };
static const struct msg_revoked_reply sample_revoked_reply = {
	{ 9, "", 0, { REASON_NONE, "", "" } }, { 12, 3 }
};
static const struct msg_certificate sample_certificate = { 10,
	{ certificates, 2 } };
static const struct msg_certificate_reply sample_certificate_reply = {
	{ 10, "", 0, { REASON_NONE, "", "" } }, 1700000000
};
static const struct msg_trust sample_trust = { 11, B("bun\0dle") };
static const struct msg_trust_reply sample_trust_reply = {
	{ 11, "", 0, { REASON_NONE, "", "" } }, 3
};
static const struct msg_trust_bundle sample_trust_bundle = { ID_A, 3,
	1700000000, { certificates, 2 }, TOKEN };
static const struct msg_revocation_list sample_revocation_list = { ID_A,
	REVOKED_AGENTS, 12, 1700000000, TOKEN };
static const struct msg_signed_list sample_signed_list = { B("body"),
	B("signature"), { certificates, 1 } };
static const struct msg_hop sample_hop = {
	.by = "relay/dc2-a",
	.version = B("0.1.0"),
	.expires_s = 1700000000,
	.has_link = true,
	.link = { .to = "machine/" ID_A,
	    .up = true,
	    .dialled = true,
	    .address = "10.0.0.3:10933",
	    .rtt_us = 900,
	    .up_ms = 3600000,
	    .queued = { 0, 17, 65536, UINT32_MAX },
	    .expires_s = 1700000001,
	    .version = B("0.1.0") },
	.fault = { REASON_DEADLINE, "relay dc2-a", "web-03: no answer" },
};
static const struct msg_port_life sample_port_life = { { ID_A, 7, ID_A } };
static const struct msg_port_ready sample_port_ready = { "10.0.0.3:10933" };
static const struct msg_port_contest sample_port_contest = { 7 };
static const struct msg_fault sample_fault = { { REASON_NOT_FOUND, "web-03",
    "no such ticket" } };

#define SAMPLE_ENCODE(X, S)                                                    \
	static enum rc encode_##S(struct packbuf *out)                         \
	{                                                                      \
		return msg_##X##_encode(&sample_##S, out);                     \
	}
#define SAMPLE_OF(X) SAMPLE_ENCODE(X, X)
ALL_MESSAGES(SAMPLE_OF)
SAMPLE_ENCODE(hello, hello_anonymous)
SAMPLE_ENCODE(health_reply, health_refused)
SAMPLE_ENCODE(start, start_activate)
SAMPLE_ENCODE(note, note_state)

#define SAMPLE_ENTRY(X) { #X, encode_##X },
const struct sample samples[] = {
	ALL_MESSAGES(SAMPLE_ENTRY){ "hello", encode_hello_anonymous },
	{ "health_reply", encode_health_refused },
	{ "start", encode_start_activate },
	{ "note", encode_note_state },
};
const size_t sample_count = sizeof(samples) / sizeof(samples[0]);
