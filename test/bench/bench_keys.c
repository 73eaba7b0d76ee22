/*
 * bench_keys DIR - what a bench needs on the disk: DIR/authority (for
 * bench_link), DIR/relay (the state of a relay that has joined), and for the
 * programs that the product is compared with DIR/root.pem and, with key and
 * chain, DIR/client.pem, DIR/middle.pem and DIR/sink.pem.
 */
#include "common/fs.h"
#include "common/member.h"
#include "test/bench/authority.h"

#include <stdio.h>
#include <stdlib.h>

static const struct end {
	const char *file;
	enum peer_role role;
	const char *name;
} ends[] = {
	{ "client.pem", ROLE_SERVER, "n1" },
	{ "middle.pem", ROLE_RELAY, "middle" },
	{ "sink.pem", ROLE_TENTACLE, "7f000000000000000000000000000001" },
};

static MUST_CHECK enum rc write_end(const struct authority *a, const char *dir,
    const struct end *end, struct fault *fault)
{
	struct identity *id = NULL;
	char path[FS_PATH_MAX];
	enum rc rc = fs_join(path, sizeof(path), dir, end->file);

	if (rc == RC_OK)
		rc = authority_issue(a, end->role, end->name, &id, fault);
	if (rc == RC_OK)
		rc = authority_write_pem(id, path, fault);
	identity_free(id);
	return rc;
}

static MUST_CHECK enum rc write_root(
    const struct authority *a, const char *dir, struct fault *fault)
{
	char path[FS_PATH_MAX], *pem = NULL;
	size_t len = 0;
	enum rc rc = fs_join(path, sizeof(path), dir, "root.pem");

	if (rc == RC_OK)
		rc = certs_pem(ca_chain(a->root), &pem, &len);
	if (rc == RC_OK)
		rc = fs_write_atomic(path, pem, len, 0600, fault);
	free(pem);
	return rc;
}

static MUST_CHECK enum rc write_relay(
    const struct authority *a, const char *dir, struct fault *fault)
{
	struct identity *id = NULL;
	struct member_new member = { .name = "bench" };
	char path[FS_PATH_MAX];
	enum rc rc = fs_join(path, sizeof(path), dir, "relay");

	if (rc == RC_OK)
		rc = authority_issue(a, ROLE_RELAY, "bench", &id, fault);
	member.identity = id;
	if (rc == RC_OK)
		rc = member_create(path, &member, fault);
	identity_free(id);
	return rc;
}

int main(int argc, char **argv)
{
	struct authority a = { 0 };
	struct fault fault = { .text = "out of memory" };
	char path[FS_PATH_MAX];
	enum rc rc;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: bench_keys DIR\n");
		return 2;
	}
	rc = fs_make_private_dir(argv[1], &fault);
	if (rc == RC_OK)
		rc = fs_join(path, sizeof(path), argv[1], "authority");
	if (rc == RC_OK)
		rc = authority_create(path, &a, &fault);
	if (rc == RC_OK)
		rc = write_root(&a, argv[1], &fault);
	if (rc == RC_OK)
		rc = write_relay(&a, argv[1], &fault);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]) && rc == RC_OK;
	     i++)
		rc = write_end(&a, argv[1], &ends[i], &fault);
	authority_fini(&a);
	if (rc != RC_OK)
		(void)fprintf(
		    stderr, "bench_keys: %s (%s)\n", fault.text, rc_name(rc));
	return rc == RC_OK ? 0 : 1;
}
