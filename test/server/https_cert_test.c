/* The certificate of the HTTPS port follows itself, at half of its life. */
#include "test/support/init_place.h"

#include "common/clock.h"
#include "common/x509_build.h"
#include "server/ca/ca_files.h"
#include "server/ca/https_cert.h"

#include <openssl/x509v3.h>

#define DAY_S INT64_C(86400)

struct place {
	struct init_place init;
	int64_t now_s;
	struct fault fault;
	struct https_renewal renewal;
};

static int set_up(void **state)
{
	static const char *const names[] = { "longarm.example", "10.0.0.7" };
	struct place *p = calloc(1, sizeof(*p));
	struct init_report report;
	const struct init_request request = { .settings = &p->init.settings,
		.node = "alpha",
		.http_names = names,
		.http_name_count = 2 };

	assert_non_null(p);
	init_place_make(&p->init);
	if (server_init(&request, &report, &p->fault) != RC_OK)
		fail_msg("%s", p->fault.text);
	p->now_s = clock_wall_ms() / 1000;
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	init_place_remove(&p->init);
	free(p);
	return 0;
}

static void read_chain(const struct place *p, struct certs *out)
{
	struct fault fault;

	certs_init(out);
	assert_int_equal(
	    ca_files_certs(p->init.state, "../https/cert.pem", out, &fault),
	    RC_OK);
}

static enum rc renew_in(struct place *p, int64_t days)
{
	return https_cert_renew(
	    p->init.state, p->now_s + days * DAY_S, &p->renewal, &p->fault);
}

static void move(const struct place *p, const char *from, const char *to)
{
	char a[160], b[160];

	(void)snprintf(a, sizeof(a), "%s/%s", p->init.state, from);
	(void)snprintf(b, sizeof(b), "%s/%s", p->init.state, to);
	assert_int_equal(rename(a, b), 0);
}

static void test_at_half_of_its_life_it_is_renewed_for_key_and_names(
    void **state)
{
	struct place *p = *state;
	uint8_t before[KEY_HASH_SIZE], after[KEY_HASH_SIZE];
	struct certs old, new;
	int64_t from, until, end;

	read_chain(p, &old);
	assert_int_equal(renew_in(p, 360), RC_OK);
	assert_false(p->renewal.changed);
	end = p->renewal.until_s;
	assert_int_equal(renew_in(p, 370), RC_OK);
	assert_true(p->renewal.changed);
	read_chain(p, &new);
	assert_int_equal(certs_validity(new.cert[0], &from, &until), RC_OK);
	assert_true(until > end + 300 * DAY_S);
	assert_in_range(p->now_s + 370 * DAY_S - from, 1, 3600);
	assert_int_equal(certs_key_hash(old.cert[0], before), RC_OK);
	assert_int_equal(certs_key_hash(new.cert[0], after), RC_OK);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(
	    X509_check_host(new.cert[0], "longarm.example", 0, 0, NULL), 1);
	assert_int_equal(X509_check_ip_asc(new.cert[0], "10.0.0.7", 0), 1);
	/* The root is shown behind it: who logs in compares its key. */
	assert_int_equal(new.count, old.count);
	assert_int_equal(X509_cmp(new.cert[1], old.cert[1]), 0);
	assert_int_equal(
	    X509_verify(new.cert[0], X509_get0_pubkey(new.cert[1])), 1);
	/* And then it is new. */
	assert_int_equal(renew_in(p, 371), RC_OK);
	assert_false(p->renewal.changed);
	certs_fini(&old);
	certs_fini(&new);
}

static void test_without_the_roots_key_it_is_said_when_it_ends(void **state)
{
	struct place *p = *state;

	move(p, "ca/root.key", "root.key");
	assert_int_equal(renew_in(p, 10), RC_OK);
	assert_int_equal(renew_in(p, 400), RC_STATE);
	assert_non_null(strstr(p->fault.text, "root's key"));
	assert_in_range(
	    p->renewal.until_s - p->now_s, 700 * DAY_S, 740 * DAY_S);
	assert_false(p->renewal.changed);
	move(p, "root.key", "ca/root.key");
	assert_int_equal(renew_in(p, 400), RC_OK);
	assert_true(p->renewal.changed);
}

static void test_an_operators_own_is_left_alone(void **state)
{
	struct place *p = *state;
	struct x509_build b = { .name = "their own",
		.not_before_s = p->now_s - DAY_S,
		.not_after_s = p->now_s + 90 * DAY_S };
	struct certs own, after;
	X509 *cert = NULL;

	b.organisation = b.name;
	assert_int_equal(key_generate(KEY_P256, &b.key), RC_OK);
	b.issuer_key = b.key;
	assert_int_equal(x509_build(&b, &cert), RC_OK);
	certs_init(&own);
	assert_int_equal(certs_add(&own, cert), RC_OK);
	assert_int_equal(
	    ca_files_replace(p->init.state, "https/cert.pem", &own, &p->fault),
	    RC_OK);
	assert_int_equal(renew_in(p, 80), RC_NOTFOUND);
	assert_non_null(strstr(p->fault.text, "not signed by this cluster"));
	assert_false(p->renewal.changed);
	read_chain(p, &after);
	assert_int_equal(after.count, 1);
	assert_int_equal(X509_cmp(after.cert[0], cert), 0);
	certs_fini(&after);
	certs_fini(&own);
	X509_free(cert);
	EVP_PKEY_free(b.key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_at_half_of_its_life_it_is_renewed_for_key_and_names,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_without_the_roots_key_it_is_said_when_it_ends, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_an_operators_own_is_left_alone, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
