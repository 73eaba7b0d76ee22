/* A new cluster: what lies where, for whose eyes, and that it fits together. */
#include "test/support/init_place.h"

#include "common/hex.h"
#include "server/auth/apikey.h"
#include "server/keys.h"

#include <jansson.h>
#include <sys/stat.h>

static int set_up(void **state)
{
	struct init_place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	init_place_make(p);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	init_place_remove(*state);
	free(*state);
	return 0;
}

static enum rc init(
    struct init_place *p, struct init_report *report, struct fault *fault)
{
	static const char *const names[] = { "longarm.example" };
	const struct init_request request = { .settings = &p->settings,
		.node = "alpha",
		.http_names = names,
		.http_name_count = 1 };

	return server_init(&request, report, fault);
}

static unsigned mode_of(const struct init_place *p, const char *name)
{
	char path[160];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", p->state, name);
	if (stat(path, &st) != 0)
		fail_msg("%s is missing", name);
	return st.st_mode & 0777;
}

static char *read_text(
    const struct init_place *p, const char *name, size_t *len)
{
	char path[160];
	uint8_t *text = NULL;
	struct fault fault;

	(void)snprintf(path, sizeof(path), "%s/%s", p->state, name);
	assert_int_equal(
	    fs_read_file(path, 1 << 22, &text, len, &fault), RC_OK);
	return (char *)text;
}

static void test_keys_are_for_the_owners_eyes_only(void **state)
{
	static const char *const files[] = { "master.key", "operator.login",
		"longarm.db", "ca/root.key", "ca/nodes.key", "node/key.pem",
		"https/key.pem" };
	struct init_place *p = *state;
	struct init_report report;
	struct fault fault = { .code = REASON_NONE };
	char path[160];

	if (init(p, &report, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	assert_int_equal(mode_of(p, "."), 0700);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		assert_int_equal(mode_of(p, files[i]), 0600);
	/* The key of `agents` is only in the database, wrapped. */
	(void)snprintf(path, sizeof(path), "%s/ca/agents.key", p->state);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_string_equal(report.node, "alpha");
	assert_string_equal(report.url, "https://longarm.example:8443");
}

struct verify {
	struct store_job job;
	const char *key;
	enum rc rc;
};

static enum rc verify(struct db *db, struct store_job *job)
{
	struct verify *v = CONTAINER_OF(job, struct verify, job);
	struct caller caller = { 0 };
	struct fault fault;

	v->rc = apikey_verify(db, v->key, 1, &caller, &fault);
	if (v->rc == RC_OK)
		v->rc = caller_may(&caller, PERM_SERVER_ADMIN, NULL, &fault);
	caller_clear(&caller);
	return RC_OK;
}

static void test_what_was_made_is_what_serve_needs(void **state)
{
	struct init_place *p = *state;
	struct server_keys keys;
	struct init_report report;
	struct store *store = NULL;
	struct fault fault = { .code = REASON_NONE };
	struct peer peer;
	char pin[DIGEST_SIZE];
	char *text;
	size_t len;
	json_t *login;

	assert_int_equal(init(p, &report, &fault), RC_OK);
	assert_int_equal(server_keys_check(&p->settings, &fault), RC_OK);
	assert_int_equal(store_open(p->state, NULL, &store, &fault), RC_OK);
	if (server_keys_load(&p->settings, store, &keys, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	assert_string_equal(keys.cluster, report.cluster);
	assert_int_equal(ca_kind_of(keys.agents), CA_AGENTS);
	hex_encode(keys.root_hash, sizeof(keys.root_hash), pin);
	assert_string_equal(pin, report.ca_pin);

	const struct trust_check check = {
		.now_s = identity_not_before_s(keys.identity) + 60,
		.roles = TRUST_ROLE(ROLE_SERVER),
		.name = "alpha"
	};
	assert_int_equal(trust_verify(keys.trust, identity_chain(keys.identity),
			     &check, &peer, &fault),
	    RC_OK);

	text = read_text(p, "operator.login", &len);
	login = json_loadb(text, len, 0, NULL);
	struct verify v = { .job.run = verify,
		.key = json_string_value(json_object_get(login, "key")) };
	assert_int_equal(store_call(store, &v.job), RC_OK);
	assert_int_equal(v.rc, RC_OK);
	assert_string_equal(
	    json_string_value(json_object_get(login, "ca_pin")), report.ca_pin);
	json_decref(login);
	free(text);
	server_keys_fini(&keys);
	store_close(store);
}

static void test_a_second_init_changes_nothing(void **state)
{
	struct init_place *p = *state;
	struct init_report report;
	struct fault fault = { .code = REASON_NONE };
	char *before, *after;
	size_t len, len_after;

	assert_int_equal(init(p, &report, &fault), RC_OK);
	before = read_text(p, "ca/root.key", &len);
	assert_int_equal(init(p, &report, &fault), RC_EXISTS);
	assert_non_null(strstr(fault.text, "initialised already"));
	after = read_text(p, "ca/root.key", &len_after);
	assert_int_equal(len, len_after);
	assert_memory_equal(before, after, len);
	free(before);
	free(after);
}

static void test_an_init_that_fails_leaves_nothing_behind(void **state)
{
	static const char *const names[] = { "no such name!" };
	struct init_place *p = *state;
	const struct init_request request = { .settings = &p->settings,
		.node = "alpha",
		.http_names = names,
		.http_name_count = 1 };
	struct init_report report;
	struct fault fault = { .code = REASON_NONE };

	assert_int_not_equal(server_init(&request, &report, &fault), RC_OK);
	assert_int_not_equal(fault.code, REASON_NONE);
	assert_int_equal(rmdir(p->state), 0); /* it is empty */
}

static void test_another_master_key_is_refused_with_words(void **state)
{
	struct init_place *p = *state;
	struct server_keys keys;
	struct init_report report;
	struct store *store = NULL;
	struct wrap_key other;
	struct fault fault = { .code = REASON_NONE };
	char text[WRAP_KEY_TEXT_SIZE], path[160];

	assert_int_equal(init(p, &report, &fault), RC_OK);
	assert_int_equal(wrap_key_generate(&other), RC_OK);
	wrap_key_format(&other, text);
	(void)snprintf(path, sizeof(path), "%s/master.key", p->state);
	assert_int_equal(
	    fs_write_atomic(path, text, strlen(text), 0600, &fault), RC_OK);
	assert_int_equal(store_open(p->state, NULL, &store, &fault), RC_OK);
	fault_clear(&fault);
	assert_int_not_equal(
	    server_keys_load(&p->settings, store, &keys, &fault), RC_OK);
	assert_int_not_equal(fault.code, REASON_NONE);
	store_close(store);
}

static void test_serve_without_init_says_what_to_do(void **state)
{
	struct init_place *p = *state;
	struct fault fault = { .code = REASON_NONE };

	assert_int_equal(server_keys_check(&p->settings, &fault), RC_NOTFOUND);
	assert_non_null(strstr(fault.text, "longarm-server init"));
}

static void test_a_port_that_the_kernel_chose_comes_into_the_login(void **state)
{
	struct init_place *p = *state;
	struct init_report report;
	struct fault fault = { .code = REASON_NONE };
	char *text;
	size_t len;

	p->settings.http.port = 0;
	assert_int_equal(init(p, &report, &fault), RC_OK);
	init_login_port(&p->settings, 43210);
	text = read_text(p, "operator.login", &len);
	assert_non_null(strstr(text, "https://longarm.example:43210"));
	assert_int_equal(mode_of(p, "operator.login"), 0600);
	free(text);
	/* Only port 0 is a promise to fill in. */
	init_login_port(&p->settings, 1);
	text = read_text(p, "operator.login", &len);
	assert_non_null(strstr(text, "https://longarm.example:43210"));
	free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_keys_are_for_the_owners_eyes_only),
		TEST(test_what_was_made_is_what_serve_needs),
		TEST(test_a_second_init_changes_nothing),
		TEST(test_an_init_that_fails_leaves_nothing_behind),
		TEST(test_another_master_key_is_refused_with_words),
		TEST(test_serve_without_init_says_what_to_do),
		TEST(test_a_port_that_the_kernel_chose_comes_into_the_login),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
