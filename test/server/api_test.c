/* The API and the operator's commands together: one process, real sockets. */
#include "common/ca.h"
#include "common/fs.h"
#include "common/hex.h"
#include "server/api/api.h"
#include "server/auth/apikey.h"
#include "server/cli/cli.h"
#include "server/cli/client.h"
#include "server/cli/login.h"
#include "server/store/machine.h"
#include "server/store/note.h"
#include "server/store/task.h"
#include "test/support/full_disk.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW_S INT64_C(1800000000)

struct fixture {
	char dir[64];
	struct store *store;
	struct blob_store *blobs;
	struct api *api;
	struct wrap_key master;
	uint8_t root_hash[KEY_HASH_SIZE];
	char cert[128], key[128], logs[128];
	char apikey[APIKEY_TEXT_SIZE], viewer[APIKEY_TEXT_SIZE];
	uint64_t created, cancelled;
	char changed[STORE_ID_SIZE];
	char odd[STORE_ID_SIZE]; /* this machine's answers are not understood */
};

static char *in_dir(const struct fixture *f, const char *name, char out[128])
{
	(void)snprintf(out, 128, "%s/%s", f->dir, name);
	return out;
}

/* ---- set-up ---- */

static void write_text(const char *path, const char *text)
{
	assert_int_equal(
	    fs_write_atomic(path, text, strlen(text), 0600, NULL), RC_OK);
}

static void make_certificates(struct fixture *f)
{
	static const char *const names[] = { "127.0.0.1" };
	const char *cluster = "0123456789abcdef0123456789abcdef";
	struct ca *root = NULL;
	EVP_PKEY *key = NULL;
	struct ca_https request = { .names = names,
		.name_count = 1,
		.now_s = time(NULL),
		.life_s = 3600 };
	struct certs chain;
	char pem[KEY_PEM_MAX], *text = NULL;
	size_t len;

	assert_int_equal(ca_create_root(cluster, time(NULL), &root), RC_OK);
	assert_int_equal(key_generate(KEY_P256, &key), RC_OK);
	request.key = key;
	certs_init(&chain);
	assert_int_equal(ca_issue_https(root, &request, &chain, NULL), RC_OK);
	assert_int_equal(certs_pem(&chain, &text, &len), RC_OK);
	write_text(in_dir(f, "https.crt", f->cert), text);
	free(text);
	assert_int_equal(key_to_pem(key, pem, &len), RC_OK);
	write_text(in_dir(f, "https.key", f->key), pem);
	assert_int_equal(
	    certs_key_hash(ca_chain(root)->cert[0], f->root_hash), RC_OK);
	certs_fini(&chain);
	EVP_PKEY_free(key);
	ca_free(root);
}

struct key_job {
	struct store_job job;
	const char *name;
	permission_set permissions;
	const struct names *environments;
	char *text;
};

static enum rc run_key_job(struct db *db, struct store_job *job)
{
	struct key_job *k = CONTAINER_OF(job, struct key_job, job);
	const struct apikey_wish wish = { .name = k->name,
		.permissions = k->permissions,
		.environments = k->environments,
		.now_ms = 1000 };

	return apikey_create(db, &wish, k->text, NULL);
}

static void make_key(struct fixture *f, const char *name,
    permission_set permissions, const char *environment, char *text)
{
	struct names environments = { 0 };
	struct key_job k = { .job = { .run = run_key_job },
		.name = name,
		.permissions = permissions,
		.environments = &environments,
		.text = text };

	if (environment != NULL)
		assert_int_equal(names_add(&environments, environment), RC_OK);
	assert_int_equal(store_call(f->store, &k.job), RC_OK);
	names_clear(&environments);
}

static void on_created(void *ctx, uint64_t number)
{
	((struct fixture *)ctx)->created = number;
}

static void on_cancel(void *ctx, uint64_t number, const char *who)
{
	assert_string_equal(who, "apikey admin");
	((struct fixture *)ctx)->cancelled = number;
}

static void on_changed(void *ctx, const char *id)
{
	struct fixture *f = ctx;

	(void)snprintf(f->changed, sizeof(f->changed), "%s", id);
}

static void on_live(void *ctx, struct api_live *question)
{
	const struct fixture *fixture = ctx;

	question->rc = RC_OK;
	if (question->kind == API_LIVE_LOCKS &&
	    strcmp(question->name, fixture->odd) == 0) {
		question->rc = RC_STATE;
		fault_set(&question->fault, REASON_PROTOCOL, "", "odd");
	} else if (question->kind == API_LIVE_LOCKS) {
		question->answer = json_pack("{s:[{s:s, s:b, s:b}], s:n}",
		    "items", "lock", "disk", "shared", 0, "held", 1, "next");
	} else {
		question->answer = json_pack("{s:i}", "links", 7);
	}
	api_live_answer(question);
}

static void log_in(struct fixture *f, const char *key)
{
	char path[128], text[512], pin[LOGIN_PIN_TEXT];

	login_format_pin(f->root_hash, pin);
	(void)snprintf(text, sizeof(text),
	    "{\"url\": \"https://127.0.0.1:%u\", \"ca_pin\": \"%s\", "
	    "\"key\": \"%s\"}",
	    (unsigned)api_port(f->api), pin, key);
	write_text(in_dir(f, "login", path), text);
	(void)setenv("LONGARM_LOGIN", path, 1);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct api_options options = { .address = "127.0.0.1" };
	struct fault fault = { 0 };
	char path[128];

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/api_test_XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	make_certificates(f);
	assert_int_equal(wrap_key_generate(&f->master), RC_OK);
	assert_int_equal(
	    store_open(f->dir, store_post_to_loop, &f->store, &fault), RC_OK);
	assert_int_equal(
	    blob_store_open(in_dir(f, "blobs", path), &f->blobs, &fault),
	    RC_OK);
	blob_store_set_reserve(f->blobs, 0);
	make_key(f, "admin", PERM_ALL, NULL, f->apikey);
	options.cert_file = f->cert;
	options.key_file = f->key;
	options.store = f->store;
	options.blobs = f->blobs;
	options.log_dir = in_dir(f, "logs", f->logs);
	options.master = &f->master;
	options.cluster = "0123456789abcdef0123456789abcdef";
	memcpy(options.root_hash, f->root_hash, sizeof(options.root_hash));
	options.hooks = (struct api_hooks){ .ctx = f,
		.task_created = on_created,
		.task_cancel = on_cancel,
		.machine_changed = on_changed,
		.live = on_live };
	assert_int_equal(api_start(&options, &f->api, &fault), RC_OK);
	log_in(f, f->apikey);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int fd;

	api_stop(f->api);
	store_close(f->store);
	blob_store_close(f->blobs);
	/* f->dir is below /tmp. */
	fd = open("/tmp", O_RDONLY | O_DIRECTORY);
	assert_int_equal(fs_remove_tree(fd, f->dir + 5, NULL), RC_OK);
	(void)close(fd);
	free(f);
	return 0;
}

/* ---- running commands, output in a buffer ---- */

static char output[1 << 16];

static int command(const char *first, ...)
{
	const char *words[32] = { "longarm", first };
	int count = 2, saved, code;
	FILE *file = tmpfile();
	va_list args;
	size_t got;

	va_start(args, first);
	while ((words[count] = va_arg(args, const char *)) != NULL)
		count++;
	va_end(args);
	(void)fflush(stdout);
	saved = dup(STDOUT_FILENO);
	(void)dup2(fileno(file), STDOUT_FILENO);
	code = cli_main(count, (char **)(uintptr_t)words);
	(void)fflush(stdout);
	(void)dup2(saved, STDOUT_FILENO);
	(void)close(saved);
	(void)fseek(file, 0, SEEK_SET);
	got = fread(output, 1, sizeof(output) - 1, file);
	output[got] = '\0';
	(void)fclose(file);
	return code;
}

#define RUN(...) command(__VA_ARGS__, NULL)

static void assert_shows(const char *text)
{
	if (strstr(output, text) == NULL)
		print_message("output:\n%s\n", output);
	assert_non_null(strstr(output, text));
}

/* ---- tests ---- */

static void test_environments_machines_and_routes_are_kept(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN("environment", "create", "prod"), 0);
	assert_int_equal(RUN("environment", "create", "prod"), 1);
	assert_int_equal(
	    RUN("relay", "add", "dc2-a", "--route", "direct=edge"), 0);
	assert_shows("direct=edge:10953");
	assert_int_equal(RUN("relay", "add", "dc2-b"), 0);
	assert_shows("direct");
	assert_int_equal(RUN("relay", "add", "dc2-c", "--route", "dc2-a",
			     "--route", "dc2-b"),
	    0);
	assert_int_equal(
	    RUN("relay", "set-route", "dc2-c", "dc2-b", "dc2-a"), 0);
	assert_shows("dc2-b,dc2-a");
	assert_int_equal(
	    RUN("relay", "set-route", "dc2-a", "direct", "dc2-c"), 1);
	assert_int_equal(RUN("relay", "remove", "dc2-a"), 1);
	assert_int_equal(RUN("relay", "remove", "dc2-c"), 0);
	assert_int_equal(RUN("machine", "add", "web-01", "-e", "prod", "-r",
			     "web", "--route", "dc2-a=web-01"),
	    0);
	assert_int_equal(strlen(f->changed), 32);
	assert_int_equal(RUN("machine", "list", "-e", "prod"), 0);
	assert_shows("web-01");
	assert_int_equal(RUN("machine", "list", "-o", "wide"), 0);
	assert_shows("dc2-a=web-01:10933");
	assert_int_equal(
	    RUN("machine", "set-route", "web-01", "direct=10.0.0.1:10933"), 0);
	assert_int_equal(RUN("machine", "disable", "web-01"), 0);
	assert_int_equal(RUN("machine", "show", "web-01", "-o", "json"), 0);
	assert_shows("\"enabled\": false");
	assert_shows("10.0.0.1:10933");
	assert_int_equal(RUN("route", "explain", "web-01"), 0);
	assert_shows("\"links\": 7");
	assert_int_equal(RUN("machine", "remove", "web-01"), 0);
	assert_int_equal(RUN("machine", "show", "web-01"), 3);
	assert_int_equal(RUN("relay", "remove", "dc2-a"), 0);
	assert_int_equal(RUN("status", "-o", "json"), 0);
	assert_shows("\"machines\":0");
}

static void test_wrong_names_and_usage_have_their_exit_codes(void **state)
{
	(void)state;
	assert_int_equal(RUN("environment", "create", "../x"), 1);
	assert_int_equal(RUN("machine", "lsit"), 2);
	assert_int_equal(RUN("token", "create", "--uses", "many"), 2);
	assert_int_equal(RUN("token", "create", "-e", "nowhere"), 3);
	assert_int_equal(RUN("task", "show", "task-99"), 3);
	assert_int_equal(RUN("run", "--", "uptime"), 2);
	assert_int_equal(RUN("run", "--all", "--", "uptime"), 3);
}

static void test_a_token_is_shown_once(void **state)
{
	(void)state;
	assert_int_equal(
	    RUN("token", "create", "--relay", "--name", "dc2-a"), 0);
	assert_shows("lj1.0123456789abcdef0123456789abcdef.");
	assert_int_equal(RUN("token", "list", "-o", "json"), 0);
	assert_shows("\"dc2-a\"");
	assert_null(strstr(output, "lj1."));
}

static void test_a_confined_key_sees_and_does_only_what_it_may(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN("environment", "create", "prod"), 0);
	assert_int_equal(RUN("environment", "create", "test"), 0);
	assert_int_equal(RUN("machine", "add", "p", "-e", "prod"), 0);
	assert_int_equal(RUN("machine", "add", "t", "-e", "test"), 0);
	make_key(f, "viewer", PERM_BIT(PERM_MACHINE_VIEW), "test", f->viewer);
	log_in(f, f->viewer);
	assert_int_equal(RUN("machine", "list", "-o", "name"), 0);
	assert_string_equal(output, "t\n");
	assert_int_equal(RUN("machine", "show", "p"), 3);
	assert_int_equal(RUN("machine", "remove", "t"), 4);
	assert_int_equal(RUN("token", "list"), 4);
	log_in(f, "lk1.0123456789abcdef."
		  "0123456789abcdef0123456789abcdef0123456789abcdef"
		  "0123456789abcdef");
	assert_int_equal(RUN("machine", "list"), 4);
}

static enum rc hold_job(struct db *db, struct store_job *job)
{
	struct store_machine m;
	enum rc rc = store_machine_get(db, "t", &m, NULL);

	(void)job;
	if (rc == RC_OK)
		rc = store_machine_hold(db, m.id, "journal");
	store_machine_clear(&m);
	return rc;
}

static void test_only_who_may_edit_all_its_environments_releases_a_machine(
    void **state)
{
	struct fixture *f = *state;
	struct store_job hold = { .run = hold_job };
	char half[APIKEY_TEXT_SIZE], all[APIKEY_TEXT_SIZE];

	assert_int_equal(RUN("environment", "create", "prod"), 0);
	assert_int_equal(RUN("environment", "create", "test"), 0);
	assert_int_equal(
	    RUN("machine", "add", "t", "-e", "test", "-e", "prod"), 0);
	assert_int_equal(store_call(f->store, &hold), RC_OK);
	make_key(f, "half", PERM_BIT(PERM_MACHINE_EDIT), "test", half);
	make_key(f, "all", PERM_BIT(PERM_MACHINE_EDIT), NULL, all);
	log_in(f, half);
	assert_int_equal(RUN("machine", "release", "t"), 4);
	log_in(f, all);
	assert_int_equal(RUN("machine", "release", "t"), 0);
	assert_int_equal(RUN("machine", "release", "t"), 1);
}

static void test_a_wrong_pin_is_refused(void **state)
{
	struct fixture *f = *state;

	f->root_hash[0] ^= 1;
	log_in(f, f->apikey);
	assert_int_equal(RUN("machine", "list"), 8);
	f->root_hash[0] ^= 1;
	log_in(f, f->apikey);
	assert_int_equal(RUN("machine", "list"), 0);
	(void)setenv("LONGARM_URL", "https://127.0.0.1:1", 1);
	assert_int_equal(RUN("machine", "list"), 8);
	(void)unsetenv("LONGARM_URL");
}

static void test_login_keeps_what_works(void **state)
{
	struct fixture *f = *state;
	char file[128], kept[128];
	struct stat st;

	(void)setenv("LONGARM_LOGIN", in_dir(f, "kept", kept), 1);
	assert_int_equal(RUN("login", "--file", in_dir(f, "login", file)), 0);
	assert_int_equal(stat(kept, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(RUN("environment", "list"), 0);
}

static const char process[] = "project: shop\n"
			      "package: shop-web\n"
			      "steps:\n"
			      "  - name: roll out\n"
			      "    roles: [web]\n"
			      "    rolling: 2\n"
			      "    steps:\n"
			      "      - name: install\n"
			      "        deploy: shop-web\n"
			      "      - name: smoke test\n"
			      "        run: curl -fsS http://localhost/\n"
			      "variables:\n"
			      "  DbPassword: { sensitive: true }\n";

static void make_package(struct fixture *f)
{
	char path[128], file[256];

	assert_int_equal(mkdir(in_dir(f, "tree", path), 0700), 0);
	(void)snprintf(file, sizeof(file), "%s/index.html", path);
	write_text(file, "<h1>hello</h1>");
	(void)snprintf(file, sizeof(file), "%s/sub", path);
	assert_int_equal(mkdir(file, 0700), 0);
	(void)snprintf(file, sizeof(file), "%s/sub/link", path);
	assert_int_equal(symlink("../index.html", file), 0);
	assert_int_equal(RUN("package", "push", path, "--name", "shop-web",
			     "--version", "1.0.0", "-o", "json"),
	    0);
}

static void test_a_directory_is_pushed_and_again(void **state)
{
	struct fixture *f = *state;
	char path[128];
	char first[1024];

	make_package(f);
	(void)snprintf(first, sizeof(first), "%.1000s", output);
	in_dir(f, "tree", path);
	assert_int_equal(RUN("package", "push", path, "--name", "shop-web",
			     "--version", "1.0.0", "-o", "json"),
	    0);
	assert_string_equal(output, first);
	assert_int_equal(RUN("package", "push", f->cert, "--name", "shop-web",
			     "--version", "1.0.0"),
	    1);
	assert_int_equal(RUN("package", "list", "-o", "name"), 0);
	assert_string_equal(output, "shop-web\n");
}

static void test_a_large_file_goes_in_parts(void **state)
{
	struct fixture *f = *state;
	char path[128];
	size_t size = 11 << 20;
	char *data = malloc(size);

	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	assert_int_equal(
	    fs_write_atomic(in_dir(f, "big", path), data, size, 0600, NULL),
	    RC_OK);
	free(data);
	assert_int_equal(
	    RUN("package", "push", path, "-n", "big", "-v", "1"), 0);
	assert_int_equal(RUN("package", "list", "big", "-o", "json"), 0);
	assert_shows("\"size\":11534336");
}

static void make_release(struct fixture *f)
{
	char path[128];

	make_package(f);
	write_text(in_dir(f, "process.yaml", path), process);
	assert_int_equal(RUN("project", "apply", "-f", path), 0);
	write_text(in_dir(f, "password", path), "s3cret-value\n");
	assert_int_equal(RUN("variable", "set", "DbPassword", "--sensitive",
			     "--project", "shop", "--value-file", path),
	    0);
	assert_int_equal(
	    RUN("release", "create", "shop", "--version", "1.0.0"), 0);
}

static void test_a_release_freezes_and_deploys(void **state)
{
	struct fixture *f = *state;

	make_release(f);
	assert_int_equal(
	    RUN("variable", "list", "--project", "shop", "-o", "json"), 0);
	assert_null(strstr(output, "s3cret"));
	assert_int_equal(RUN("release", "show", "shop", "1.0.0"), 0);
	assert_shows("shop-web=1.0.0");
	assert_int_equal(RUN("environment", "create", "prod"), 0);
	assert_int_equal(
	    RUN("deploy", "shop", "--release", "1.0.0", "--to", "prod"), 3);
	assert_int_equal(RUN("machine", "add", "web-01", "-e", "prod", "-r",
			     "web", "--route", "direct"),
	    0);
	assert_int_equal(
	    RUN("deploy", "shop", "--release", "1.0.0", "--to", "prod"), 0);
	assert_string_equal(output, "task-1\n");
	assert_int_equal(f->created, 1);
	assert_int_equal(RUN("task", "list"), 0);
	assert_shows("shop 1.0.0 to prod");
	assert_int_equal(RUN("task", "wait", "task-1", "--timeout", "1s"), 7);
	assert_int_equal(RUN("task", "cancel", "task-1"), 0);
	assert_int_equal(f->cancelled, 1);
	assert_int_equal(RUN("task", "show", "task-1", "-o", "json"), 0);
	assert_shows("\"cancelled_by\": \"apikey admin\"");
}

static void test_runs_and_health_checks_become_tasks(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN("environment", "create", "prod"), 0);
	assert_int_equal(
	    RUN("machine", "add", "web-01", "-e", "prod", "--route", "direct"),
	    0);
	assert_int_equal(
	    RUN("run", "-m", "web-01", "--detach", "--", "uptime", "-p"), 0);
	assert_int_equal(f->created, 1);
	assert_int_equal(RUN("health", "run", "web-01", "--detach"), 0);
	assert_int_equal(f->created, 2);
	assert_int_equal(RUN("health", "run", "nobody"), 3);
	assert_int_equal(RUN("health", "show"), 0);
	assert_shows("unknown");
	assert_int_equal(RUN("task", "log", "task-1"), 0);
	assert_string_equal(output, "");
}

/* ---- a dispatcher that plays one run of task-1 ---- */

struct play {
	struct store_job job;
	struct fixture *f;
	const char *text; /* appended to the log */
	uint64_t before;  /* bytes that are there */
	bool last;
	enum task_state end;
};

static enum rc run_play(struct db *db, struct store_job *job)
{
	struct play *p = CONTAINER_OF(job, struct play, job);
	struct engine_change changes[2] = {
		{ .type = CHANGE_RUN,
		    .row.run = { .key = { .task = 1 },
			.state = p->last ? RUN_SUCCEEDED : RUN_RUNNING,
			.ticket = "0123456789abcdef0123456789abcdef",
			.starting_ms = 1,
			.running_ms = 2 } },
		{ .type = CHANGE_TASK,
		    .row.task = { .number = 1,
			.state = p->last ? p->end : TASK_RUNNING } },
	};
	struct store_batch batch = { .number = 1,
		.who = { .owner = "me", .incarnation = "1-2" },
		.changes = changes,
		.change_count = 2 };
	const uint8_t hash[STORE_SHA256_SIZE] = { 0 };
	const struct store_log log = { .key = { .task = 1 },
		.ticket = changes[0].row.run.ticket };
	uint64_t size = p->before + strlen(p->text), now;
	enum rc rc = store_task_claim(db, 1, &batch.who, &batch.who.epoch);

	changes[1].row.task.epoch = batch.who.epoch;
	if (rc == RC_OK)
		rc = store_task_apply(db, &batch);
	if (rc == RC_OK)
		rc = store_run_log_grow(db, &log, p->before, size, &now);
	if (rc == RC_OK && p->last)
		rc = store_run_log_end(db, &log, size, hash);
	return rc;
}

static void play(
    struct fixture *f, const char *text, uint64_t before, enum task_state end)
{
	struct play p = { .job = { .run = run_play },
		.f = f,
		.text = text,
		.before = before,
		.last = end != TASK_RUNNING,
		.end = end };
	const struct run_key key = { .task = 1 };
	char path[256];
	int fd;

	assert_int_equal(
	    api_log_path(f->logs, &key, path, sizeof(path)), RC_OK);
	fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
	assert_int_equal(store_call(f->store, &p.job), RC_OK);
	api_task_changed(f->api, 1);
}

static void *play_all(void *arg)
{
	struct fixture *f = arg;
	const struct timespec pause = { .tv_nsec = 100000000 };

	(void)nanosleep(&pause, NULL);
	play(f, "one\ntw", 0, TASK_RUNNING);
	(void)nanosleep(&pause, NULL);
	play(f, "o\n\xc3\xa4\xff", 6, TASK_RUNNING);
	play(f, "end", 11, TASK_FAILED);
	return NULL;
}

static void test_a_task_is_followed_to_its_end(void **state)
{
	struct fixture *f = *state;
	char path[256];
	pthread_t thread;

	assert_int_equal(
	    RUN("machine", "add", "web-01", "--route", "direct"), 0);
	assert_int_equal(RUN("run", "--all", "--detach", "--", "uptime"), 0);
	assert_int_equal(mkdir(f->logs, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/task-1", f->logs);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(pthread_create(&thread, NULL, play_all, f), 0);
	assert_int_equal(RUN("task", "log", "-f", "task-1"), 5);
	(void)pthread_join(thread, NULL);
	assert_string_equal(output, "web-01 run | one\n"
				    "web-01 run | two\n"
				    "web-01 run | \xc3\xa4?end\n");
	assert_int_equal(RUN("task", "log", "task-1"), 0);
	assert_shows("web-01 run | two\n");
	assert_int_equal(RUN("task", "wait", "task-1"), 5);
	assert_int_equal(RUN("task", "cancel", "task-1"), 1);
	assert_int_equal(RUN("task", "show", "task-1"), 0);
	assert_shows("succeeded");
}

static struct client *raw_client(void)
{
	struct login login;
	struct client *client;

	assert_int_equal(login_load(&login, NULL), RC_OK);
	assert_int_equal(client_new(&login, &client, NULL), RC_OK);
	return client;
}

static int call(struct client *c, const char *method, const char *path,
    const char *body, char *detail)
{
	json_t *json = body != NULL ? json_loads(body, 0, NULL) : NULL;
	const struct client_request request = {
		.method = method, .path = path, .body = json
	};
	struct client_answer answer;
	int status;

	(void)!client_call(c, &request, &answer);
	status = answer.status;
	(void)snprintf(detail, FAULT_TEXT_MAX, "%s", answer.fault.text);
	client_answer_clear(&answer);
	json_decref(json);
	return status;
}

static void test_raw_requests_are_checked_against_the_table(void **state)
{
	struct client *c = raw_client();
	char why[FAULT_TEXT_MAX];

	(void)state;
	assert_int_equal(call(c, "GET", "/livez", NULL, why), 200);
	assert_int_equal(call(c, "GET", "/readyz?verbose=1", NULL, why), 200);
	assert_int_equal(call(c, "GET", "/metrics", NULL, why), 200);
	assert_int_equal(call(c, "GET", "/api/openapi.json", NULL, why), 200);
	assert_int_equal(call(c, "GET", "/nothing", NULL, why), 404);
	assert_int_equal(call(c, "DELETE", "/api/v1/status", NULL, why), 405);
	assert_int_equal(call(c, "GET", "/api/v1/status?x=1", NULL, why), 400);
	assert_string_equal(why, "unknown query parameter: x");
	assert_int_equal(call(c, "POST", "/api/v1/environments",
			     "{\"nmae\": \"prod\"}", why),
	    400);
	assert_string_equal(why, "unknown member: nmae; did you mean name?");
	assert_int_equal(
	    call(c, "POST", "/api/v1/environments", "{}", why), 400);
	assert_int_equal(
	    call(c, "POST", "/api/v1/environments", "{\"name\": 7}", why), 400);
	assert_string_equal(why, "name must be a text");
	client_free(c);
}

static int post_with_key(struct client *c, const char *name, const char *key)
{
	json_t *body = json_pack("{s:s}", "name", name);
	const struct client_request request = { .method = "POST",
		.path = "/api/v1/environments",
		.body = body,
		.idempotency_key = key };
	struct client_answer answer;
	int status;

	(void)!client_call(c, &request, &answer);
	status = answer.status;
	client_answer_clear(&answer);
	json_decref(body);
	return status;
}

static void test_a_repeated_request_is_done_once(void **state)
{
	struct client *c = raw_client();

	(void)state;
	assert_int_equal(post_with_key(c, "prod", "key-1"), 201);
	assert_int_equal(post_with_key(c, "prod", "key-1"), 201);
	assert_int_equal(post_with_key(c, "test", "key-1"), 409);
	assert_int_equal(post_with_key(c, "prod", "key-2"), 409);
	assert_int_equal(post_with_key(c, "test", "key-2"), 201);
	client_free(c);
}

static void test_what_a_machine_answers_is_not_repeated_by_a_key(void **state)
{
	json_t *body = json_object();
	const struct client_request request = { .method = "POST",
		.path = "/api/v1/machines/web-01/locks/disk/break",
		.body = body,
		.idempotency_key = "key-1" };
	struct client *c = raw_client();
	struct client_answer answer;

	(void)state;
	assert_int_equal(
	    RUN("machine", "add", "web-01", "--route", "direct"), 0);
	for (int i = 0; i < 2; i++) {
		(void)!client_call(c, &request, &answer);
		assert_int_equal(answer.status, 400);
		assert_non_null(
		    strstr(answer.fault.text, "no Idempotency-Key"));
		client_answer_clear(&answer);
	}
	json_decref(body);
	client_free(c);
}

static void test_locks_of_those_that_answer_are_listed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
	    RUN("machine", "add", "web-01", "--route", "direct"), 0);
	(void)snprintf(f->odd, sizeof(f->odd), "%s", f->changed);
	assert_int_equal(
	    RUN("machine", "add", "web-02", "--route", "direct"), 0);
	assert_int_equal(RUN("lock", "list", "web-02"), 0);
	assert_shows("disk");
	assert_int_equal(RUN("lock", "list", "web-01"), 1);
	assert_int_equal(RUN("lock", "list", "web-01", "web-02"), 10);
	assert_shows("web-02");
}

/* ---- files that scripts kept ---- */

struct keeping {
	struct store_job job;
	struct store_note note;
};

static enum rc run_keeping(struct db *db, struct store_job *job)
{
	return store_note_put(
	    db, &CONTAINER_OF(job, struct keeping, job)->note);
}

/* report.txt of task-1, kept by its one step; digest NULL: the right one. */
static void keep_file(struct fixture *f, uint32_t number, const char *text,
    const char *told_digest)
{
	struct keeping k = { .job = { .run = run_keeping },
		.note = { .key = { .task = 1 },
		    .number = number,
		    .ticket = "0123456789abcdef0123456789abcdef",
		    .kind = NOTE_ARTIFACT,
		    .name = "report.txt",
		    .size = strlen(text) } };
	struct blob_digest digest;
	struct blob_writer *w = NULL;

	assert_int_equal(
	    blob_write_new(f->blobs, strlen(text), &w, NULL), RC_OK);
	assert_int_equal(blob_write_at(w, 0, text, strlen(text), NULL), RC_OK);
	assert_int_equal(blob_write_finish(w, &digest, NULL, NULL), RC_OK);
	blob_writer_free(w);
	blob_digest_format(&digest, k.note.digest);
	if (told_digest != NULL) {
		char from[512], to[512];

		/* The file has rotten under the name of its hash. */
		(void)snprintf(from, sizeof(from), "%s/blobs/%.2s/%s", f->dir,
		    k.note.digest, k.note.digest + 2);
		(void)snprintf(
		    to, sizeof(to), "%s/blobs/%.2s", f->dir, told_digest);
		(void)mkdir(to, 0700);
		(void)snprintf(to, sizeof(to), "%s/blobs/%.2s/%s", f->dir,
		    told_digest, told_digest + 2);
		assert_int_equal(rename(from, to), 0);
		memcpy(k.note.digest, told_digest, sizeof(k.note.digest));
	}
	assert_int_equal(store_call(f->store, &k.job), RC_OK);
}

static bool is_file(const struct fixture *f, const char *name, const char *text)
{
	char path[256];
	uint8_t *bytes = NULL;
	size_t len;
	bool same;

	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	if (fs_read_file(path, 1 << 20, &bytes, &len, NULL) != RC_OK)
		return false;
	same = len == strlen(text) && memcmp(bytes, text, len) == 0;
	free(bytes);
	return same;
}

static void test_files_of_one_name_are_all_fetched_and_checked(void **state)
{
	static const char wrong[] = "0123456789abcdef0123456789abcdef"
				    "0123456789abcdef0123456789abcdef";
	struct fixture *f = *state;

	assert_int_equal(
	    RUN("machine", "add", "web-01", "--route", "direct"), 0);
	assert_int_equal(RUN("run", "--all", "--detach", "--", "uptime"), 0);
	keep_file(f, 1, "one", NULL);
	assert_int_equal(RUN("task", "download", "task-1", "--out", f->dir), 0);
	assert_true(is_file(f, "web-01-report.txt", "one"));
	/* Never over what is there. */
	assert_int_equal(RUN("task", "download", "task-1", "--out", f->dir), 1);
	keep_file(f, 2, "two", NULL);
	assert_int_equal(RUN("task", "download", "task-1", "--out", f->dir), 0);
	assert_true(is_file(f, "web-01-0-0-0-1-report.txt", "one"));
	assert_true(is_file(f, "web-01-0-0-0-2-report.txt", "two"));
	keep_file(f, 3, "three", wrong);
	assert_int_equal(RUN("task", "download", "task-1", "--out", f->dir), 1);
	assert_false(is_file(f, "web-01-0-0-0-3-report.txt", "three"));
}

static void test_notes_come_in_pages_as_asked(void **state)
{
	const struct client_request request = { .method = "GET",
		.path = "/api/v1/tasks/task-1/notes?limit=1" };
	struct client *c = raw_client();
	struct fixture *f = *state;
	struct client_answer answer;

	assert_int_equal(
	    RUN("machine", "add", "web-01", "--route", "direct"), 0);
	assert_int_equal(RUN("run", "--all", "--detach", "--", "uptime"), 0);
	keep_file(f, 1, "one", NULL);
	keep_file(f, 2, "two", NULL);
	assert_int_equal(client_call(c, &request, &answer), RC_OK);
	assert_int_equal(
	    json_array_size(json_object_get(answer.body, "items")), 1);
	assert_string_equal(
	    json_string_value(json_object_get(answer.body, "next")), "0-0-0-1");
	client_answer_clear(&answer);
	client_free(c);
}

static void test_a_full_disk_is_told_and_passes(void **state)
{
	struct client *c = raw_client();
	const char *body = "{\"name\": \"prod\"}";
	char why[FAULT_TEXT_MAX];

	(void)state;
	full_disk_set(true);
	assert_int_equal(
	    call(c, "POST", "/api/v1/environments", body, why), 507);
	assert_non_null(strstr(why, "full"));
	full_disk_set(false);
	assert_int_equal(
	    call(c, "POST", "/api/v1/environments", body, why), 201);
	client_free(c);
}

static void test_draining_shows_in_readyz_only(void **state)
{
	struct fixture *f = *state;
	struct client *c = raw_client();
	char why[FAULT_TEXT_MAX];

	api_set_draining(f->api, true);
	assert_int_equal(call(c, "GET", "/readyz", NULL, why), 503);
	assert_int_equal(call(c, "GET", "/api/v1/status", NULL, why), 200);
	api_set_draining(f->api, false);
	assert_int_equal(call(c, "GET", "/readyz", NULL, why), 200);
	client_free(c);
}

#define WITH_API(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(test_environments_machines_and_routes_are_kept),
		WITH_API(test_wrong_names_and_usage_have_their_exit_codes),
		WITH_API(test_a_token_is_shown_once),
		WITH_API(test_a_confined_key_sees_and_does_only_what_it_may),
		WITH_API(
		    test_only_who_may_edit_all_its_environments_releases_a_machine),
		WITH_API(test_a_wrong_pin_is_refused),
		WITH_API(test_login_keeps_what_works),
		WITH_API(test_a_directory_is_pushed_and_again),
		WITH_API(test_a_large_file_goes_in_parts),
		WITH_API(test_a_release_freezes_and_deploys),
		WITH_API(test_runs_and_health_checks_become_tasks),
		WITH_API(test_a_task_is_followed_to_its_end),
		WITH_API(test_raw_requests_are_checked_against_the_table),
		WITH_API(test_a_repeated_request_is_done_once),
		WITH_API(test_what_a_machine_answers_is_not_repeated_by_a_key),
		WITH_API(test_locks_of_those_that_answer_are_listed),
		WITH_API(test_files_of_one_name_are_all_fetched_and_checked),
		WITH_API(test_notes_come_in_pages_as_asked),
		WITH_API(test_a_full_disk_is_told_and_passes),
		WITH_API(test_draining_shows_in_readyz_only),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
