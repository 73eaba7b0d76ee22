#include "test/support/pki.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
	struct pki pki;
	char top[64], dir[96];
};

static void put(
    const char *dir, const char *name, const char *text, mode_t mode)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static mode_t mode_of(const char *dir, const char *name)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return stat(path, &st) == 0 ? st.st_mode & 0777 : 0;
}

static int set_up(void **state)
{
	static struct place p;

	pki_init(&p.pki, CLUSTER);
	strcpy(p.top, "/tmp/identity_test.XXXXXX");
	assert_non_null(mkdtemp(p.top));
	(void)snprintf(p.dir, sizeof(p.dir), "%s/identity", p.top);
	*state = &p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	assert_int_equal(identity_remove(p->top, NULL), RC_OK);
	pki_fini(&p->pki);
	return 0;
}

static void test_a_key_without_certificate_survives_on_disk(void **state)
{
	struct place *p = *state;
	struct identity *id = NULL, *again = NULL;
	struct fault fault = { 0 };

	assert_int_equal(identity_generate(&id), RC_OK);
	assert_false(identity_is_enrolled(id));
	assert_int_equal(identity_save(id, p->dir, &fault), RC_OK);
	assert_int_equal(mode_of(p->dir, "key.pem"), 0600);
	assert_int_equal(mode_of(p->top, "identity"), 0700);
	assert_int_equal(identity_load(p->dir, &again, &fault), RC_OK);
	assert_false(identity_is_enrolled(again));
	assert_int_equal(fault.code, REASON_NONE);
	assert_memory_equal(
	    identity_key_hash(id), identity_key_hash(again), KEY_HASH_SIZE);
	identity_free(id);
	identity_free(again);
}

static void test_an_enrolled_identity_replaces_the_bare_key(void **state)
{
	struct place *p = *state;
	struct identity *id = NULL, *again = NULL;
	struct spiffe name = {
		.cluster = CLUSTER, .role = ROLE_RELAY, .name = "dc2-a"
	};
	struct fault fault = { 0 };
	char new[128];

	assert_int_equal(identity_generate(&id), RC_OK);
	assert_int_equal(identity_save(id, p->dir, &fault), RC_OK);
	pki_enrol(&p->pki, id, &name, 0, DAY);
	assert_int_equal(identity_save(id, p->dir, &fault), RC_OK);
	assert_int_equal(identity_load(p->dir, &again, &fault), RC_OK);
	assert_true(identity_is_enrolled(again));
	assert_int_equal(identity_spiffe(again)->role, ROLE_RELAY);
	assert_string_equal(identity_spiffe(again)->name, "dc2-a");
	assert_string_equal(identity_spiffe(again)->cluster, CLUSTER);
	assert_true(identity_not_before_s(again) == p->pki.now_s);
	assert_true(identity_not_after_s(again) == p->pki.now_s + DAY);
	assert_int_equal(identity_chain(again)->count, 2);
	assert_int_equal(identity_roots(again)->count, 1);
	/* nothing of the exchange is left */
	(void)snprintf(new, sizeof(new), "%s.new", p->dir);
	assert_int_equal(access(new, F_OK), -1);
	identity_free(id);
	identity_free(again);
}

/* What a crash in the middle of a save leaves is swept away by the next. */
static void test_a_save_cut_short_does_not_matter(void **state)
{
	struct place *p = *state;
	struct identity *id = pki_identity(&p->pki, ROLE_RELAY, "dc2-a");
	struct identity *again = NULL;
	struct fault fault = { 0 };
	char new[128];

	assert_int_equal(identity_save(id, p->dir, &fault), RC_OK);
	(void)snprintf(new, sizeof(new), "%s.new", p->dir);
	assert_int_equal(mkdir(new, 0700), 0);
	put(new, "key.pem", "half a ke", 0600);
	assert_int_equal(identity_load(p->dir, &again, &fault), RC_OK);
	identity_free(again);
	again = NULL;
	assert_int_equal(identity_save(id, p->dir, &fault), RC_OK);
	assert_int_equal(access(new, F_OK), -1);
	assert_int_equal(identity_load(p->dir, &again, &fault), RC_OK);
	identity_free(again);
	identity_free(id);
}

static void test_a_key_that_others_can_read_is_refused(void **state)
{
	struct place *p = *state;
	struct identity *id = pki_identity(&p->pki, ROLE_RELAY, "dc2-a");
	struct identity *again = NULL;
	struct fault fault = { 0 };
	char path[128];

	assert_int_equal(identity_save(id, p->dir, &fault), RC_OK);
	(void)snprintf(path, sizeof(path), "%s/key.pem", p->dir);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(identity_load(p->dir, &again, &fault), RC_DENIED);
	assert_non_null(strstr(fault.text, "key.pem"));
	assert_null(again);
	identity_free(id);
}

static void test_broken_files_are_named(void **state)
{
	struct place *p = *state;
	struct identity *id = pki_identity(&p->pki, ROLE_RELAY, "dc2-a");
	struct identity *again = NULL;
	struct fault fault = { 0 };

	assert_int_equal(identity_save(id, p->dir, &fault), RC_OK);
	put(p->dir, "cert.pem", "nothing\n", 0644);
	assert_int_equal(identity_load(p->dir, &again, &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "cert.pem: no certificate"));
	put(p->dir, "key.pem", "nothing\n", 0600);
	assert_int_equal(identity_load(p->dir, &again, &fault), RC_CRYPTO);
	assert_non_null(strstr(fault.text, "key.pem: not a private key"));
	identity_free(id);
}

static void test_a_certificate_without_roots_is_refused(void **state)
{
	struct place *p = *state;
	struct identity *id = pki_identity(&p->pki, ROLE_RELAY, "dc2-a");
	struct identity *again = NULL;
	struct fault fault = { 0 };
	char path[128];

	assert_int_equal(identity_save(id, p->dir, &fault), RC_OK);
	(void)snprintf(path, sizeof(path), "%s/roots.pem", p->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(identity_load(p->dir, &again, &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "roots.pem"));
	identity_free(id);
}

static void test_nothing_there_is_not_found(void **state)
{
	struct place *p = *state;
	struct identity *id = NULL;
	struct fault fault = { 0 };
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/nowhere", p->top);
	assert_int_equal(identity_load(path, &id, &fault), RC_NOTFOUND);
	assert_int_equal(identity_remove(path, &fault), RC_OK);
}

static void test_a_certificate_for_another_key_is_not_taken(void **state)
{
	struct place *p = *state;
	struct identity *a = pki_identity(&p->pki, ROLE_RELAY, "dc2-a");
	struct identity *b = pki_identity(&p->pki, ROLE_RELAY, "dc2-b");
	struct fault fault = { 0 };

	assert_int_equal(
	    identity_enrol(a, identity_chain(b), identity_roots(b), &fault),
	    RC_CRYPTO);
	assert_string_equal(identity_spiffe(a)->name, "dc2-a");
	identity_free(a);
	identity_free(b);
}

static void test_a_chain_that_the_roots_do_not_verify_is_not_taken(void **state)
{
	struct place *p = *state;
	struct identity *a = pki_identity(&p->pki, ROLE_RELAY, "dc2-a");
	struct pki other;
	struct fault fault = { 0 };

	pki_init(&other, CLUSTER);
	assert_int_equal(
	    identity_enrol(a, identity_chain(a), ca_chain(other.root), &fault),
	    RC_CRYPTO);
	assert_true(identity_is_enrolled(a));
	identity_free(a);
	pki_fini(&other);
}

static void test_an_expired_identity_still_loads(void **state)
{
	struct place *p = *state;
	struct identity *id =
	    pki_identity_at(&p->pki, ROLE_RELAY, "dc2-a", -30 * DAY, DAY);
	struct identity *again = NULL;
	struct fault fault = { 0 };

	assert_int_equal(identity_save(id, p->dir, &fault), RC_OK);
	assert_int_equal(identity_load(p->dir, &again, &fault), RC_OK);
	assert_true(identity_not_after_s(again) < p->pki.now_s);
	identity_free(again);
	identity_free(id);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_a_key_without_certificate_survives_on_disk, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_an_enrolled_identity_replaces_the_bare_key, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_a_save_cut_short_does_not_matter, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_a_key_that_others_can_read_is_refused, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_broken_files_are_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_a_certificate_without_roots_is_refused, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_nothing_there_is_not_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_a_certificate_for_another_key_is_not_taken, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_a_chain_that_the_roots_do_not_verify_is_not_taken,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_an_expired_identity_still_loads, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
