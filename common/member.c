#include "common/member.h"

#include "common/fs.h"
#include "common/hex.h"
#include "common/member_private.h"
#include "common/member_upkeep.h"
#include "common/random.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMBER_FILE_MAX 4096
#define PEERS_FILE_MAX  ((size_t)PEERS_MAX * (NAME_SIZE + ENDPOINT_SIZE + 16))

/* --- One file each ------------------------------------------------------- */

static MUST_CHECK enum rc read_text(const char *dir, const char *name,
    size_t limit, char **out, struct fault *fault)
{
	char path[FS_PATH_MAX];
	uint8_t *data;
	size_t len;
	enum rc rc = fs_join(path, sizeof(path), dir, name);

	if (rc == RC_OK)
		rc = fs_read_file(path, limit, &data, &len, fault);
	if (rc != RC_OK)
		return rc;
	*out = (char *)data;
	return RC_OK;
}

static MUST_CHECK enum rc write_text(
    const char *dir, const char *name, const char *text, struct fault *fault)
{
	char path[FS_PATH_MAX];
	enum rc rc = fs_join(path, sizeof(path), dir, name);

	if (rc == RC_OK)
		rc = fs_write_atomic(path, text, strlen(text), 0600, fault);
	return rc;
}

static MUST_CHECK enum rc save_member(const char *dir, const char *name,
    const struct msg_instance *instance, struct fault *fault)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "name %s\njournal %s\nstart %llu\n",
	    name, instance->journal, (unsigned long long)instance->start);
	return write_text(dir, "member", text, fault);
}

/* "key value" lines, each key once and in this order: only we write it. */
static MUST_CHECK enum rc parse_member(struct member *m, const char *text)
{
	char start[24], *end;
	int used = 0;

	if (sscanf(text, "name %63s\njournal %32s\nstart %20s\n%n", m->name,
		m->instance.journal, start, &used) != 3 ||
	    used == 0 || text[used] != '\0' || !name_is_valid(m->name) ||
	    !id_is_valid(m->instance.journal))
		return RC_PROTO;
	errno = 0;
	m->instance.start = strtoull(start, &end, 10);
	return errno == 0 && *end == '\0' ? RC_OK : RC_PROTO;
}

static MUST_CHECK enum rc save_succession(
    const char *dir, struct bytes token, struct fault *fault)
{
	char text[(2 * SUCCESSION_LEN) + 2];
	enum rc rc;

	if (token.len != SUCCESSION_LEN)
		return RC_PROTO;
	hex_encode(token.p, token.len, text);
	text[sizeof(text) - 2] = '\n';
	text[sizeof(text) - 1] = '\0';
	rc = write_text(dir, "succession", text, fault);
	OPENSSL_cleanse(text, sizeof(text));
	return rc;
}

static MUST_CHECK enum rc load_succession(struct member *m, struct fault *fault)
{
	char *text;
	enum rc rc = read_text(m->dir, "succession", 256, &text, fault);

	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	text[strcspn(text, "\n")] = '\0';
	rc = hex_decode(text, m->succession, SUCCESSION_LEN);
	OPENSSL_cleanse(text, strlen(text));
	free(text);
	m->has_succession = rc == RC_OK;
	if (rc != RC_OK)
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s/succession is damaged; join again", m->dir);
	return rc;
}

/* One that cannot be read is none: it only helps to notice something. */
static void load_term(struct member *m)
{
	char *text;

	if (read_text(m->dir, "term", 256, &text, NULL) != RC_OK)
		return;
	text[strcspn(text, "\n")] = '\0';
	m->has_term = hex_decode(text, m->term, TERM_LEN) == RC_OK;
	free(text);
}

enum rc member_set_term(
    struct member *m, struct bytes term, struct fault *fault)
{
	char text[(2 * TERM_LEN) + 2];
	enum rc rc;

	if (term.len != TERM_LEN ||
	    (m->has_term && memcmp(m->term, term.p, TERM_LEN) == 0))
		return RC_OK;
	hex_encode(term.p, term.len, text);
	memcpy(text + sizeof(text) - 2, "\n", 2);
	rc = write_text(m->dir, "term", text, fault);
	if (rc != RC_OK)
		return rc;
	memcpy(m->term, term.p, TERM_LEN);
	m->has_term = true;
	return RC_OK;
}

static MUST_CHECK enum rc save_peers(const char *dir,
    const struct msg_peer *peers, size_t count, struct fault *fault)
{
	char *text = calloc(1, PEERS_FILE_MAX + 1);
	size_t len = 0;
	enum rc rc;

	if (text == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < count && i < PEERS_MAX; i++)
		len += (size_t)snprintf(text + len, PEERS_FILE_MAX - len,
		    "%s %s %s\n", role_name(peers[i].role), peers[i].name,
		    peers[i].endpoint[0] != '\0' ? peers[i].endpoint : "-");
	rc = write_text(dir, "peers", text, fault);
	free(text);
	return rc;
}

static MUST_CHECK enum rc parse_peer(const char *line, struct msg_peer *peer)
{
	char role[16], endpoint[ENDPOINT_SIZE];
	int used = 0;

	if (sscanf(line, "%15s %63s %261s%n", role, peer->name, endpoint,
		&used) != 3 ||
	    line[used] != '\0' || role_parse(role, &peer->role) != RC_OK ||
	    !name_is_valid(peer->name))
		return RC_PROTO;
	peer->endpoint[0] = '\0';
	if (strcmp(endpoint, "-") == 0)
		return RC_OK;
	if (!endpoint_is_valid(endpoint))
		return RC_PROTO;
	(void)snprintf(peer->endpoint, sizeof(peer->endpoint), "%s", endpoint);
	return RC_OK;
}

static MUST_CHECK enum rc load_peers(struct member *m, struct fault *fault)
{
	char *text, *save = NULL;
	enum rc rc = read_text(m->dir, "peers", PEERS_FILE_MAX, &text, fault);

	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	m->peers = calloc(PEERS_MAX, sizeof(*m->peers));
	if (m->peers == NULL)
		rc = RC_NOMEM;
	for (char *line = strtok_r(text, "\n", &save);
	     line != NULL && rc == RC_OK; line = strtok_r(NULL, "\n", &save)) {
		if (m->peer_count == PEERS_MAX)
			rc = RC_LIMIT;
		else
			rc = parse_peer(line, &m->peers[m->peer_count++]);
	}
	free(text);
	if (rc != RC_OK && rc != RC_NOMEM)
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s/peers is damaged; join again", m->dir);
	return rc;
}

static void load_boot_id(char out[ID_SIZE])
{
	uint8_t *text;
	size_t len, n = 0;

	out[0] = '\0';
	if (fs_read_file("/proc/sys/kernel/random/boot_id", 64, &text, &len,
		NULL) != RC_OK)
		return;
	for (size_t i = 0; i < len && n < ID_SIZE - 1; i++) {
		if (text[i] != '-' && text[i] != '\n')
			out[n++] = (char)text[i];
	}
	out[n] = '\0';
	if (!id_is_valid(out))
		out[0] = '\0';
	free(text);
}

/* --- Life ----------------------------------------------------------------- */

static MUST_CHECK enum rc identity_dir(char *out, size_t size, const char *dir)
{
	return fs_join(out, size, dir, "identity");
}

bool member_exists(const char *dir)
{
	char path[FS_PATH_MAX];

	return fs_join(path, sizeof(path), dir, "identity/cert.pem") == RC_OK &&
	       access(path, F_OK) == 0;
}

enum rc member_create(
    const char *dir, const struct member_new *n, struct fault *fault)
{
	struct msg_instance instance = { .start = 0 };
	char path[FS_PATH_MAX];
	enum rc rc = fs_make_private_dir(dir, fault);

	random_hex(instance.journal, ID_BYTES);
	if (rc == RC_OK)
		rc = save_member(dir, n->name, &instance, fault);
	if (rc == RC_OK && n->succession.len > 0)
		rc = save_succession(dir, n->succession, fault);
	if (rc == RC_OK)
		rc = save_peers(dir, n->peers, n->peer_count, fault);
	if (rc == RC_OK)
		rc = identity_dir(path, sizeof(path), dir);
	/* Last: with it, the member exists. */
	if (rc == RC_OK)
		rc = identity_save(n->identity, path, fault);
	return rc;
}

static MUST_CHECK enum rc load_identity(struct member *m, struct fault *fault)
{
	char path[FS_PATH_MAX];
	enum rc rc = identity_dir(path, sizeof(path), m->dir);

	if (rc == RC_OK)
		rc = identity_load(path, &m->identity, fault);
	if (rc == RC_NOTFOUND ||
	    (rc == RC_OK && !identity_is_enrolled(m->identity))) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s holds no identity: run `join` first", m->dir);
		return RC_NOTFOUND;
	}
	if (rc == RC_OK)
		rc = trust_new(identity_spiffe(m->identity)->cluster,
		    identity_roots(m->identity), &m->trust);
	if (rc == RC_OK)
		rc = tls_contexts_new(
		    m->identity, m->trust, &m->contexts, fault);
	return rc;
}

static MUST_CHECK enum rc load(struct member *m, struct fault *fault)
{
	char *text = NULL;
	enum rc rc = load_identity(m, fault);

	if (rc == RC_OK)
		rc = read_text(m->dir, "member", MEMBER_FILE_MAX, &text, fault);
	if (rc == RC_OK) {
		rc = parse_member(m, text);
		if (rc != RC_OK)
			fault_set(fault, REASON_BAD_CONFIG, "",
			    "%s/member is damaged; join again", m->dir);
	}
	free(text);
	if (rc == RC_OK)
		rc = load_succession(m, fault);
	if (rc == RC_OK)
		load_term(m);
	if (rc == RC_OK)
		rc = load_peers(m, fault);
	if (rc == RC_OK) {
		member_load_trust(m);
		member_load_revoked(m);
	}
	load_boot_id(m->boot_id);
	return rc;
}

enum rc member_look(const char *dir, struct member **out, struct fault *fault)
{
	struct member *m = calloc(1, sizeof(*m));
	enum rc rc;

	if (m == NULL)
		return RC_NOMEM;
	m->lock_fd = -1;
	(void)snprintf(m->dir, sizeof(m->dir), "%s", dir);
	rc = load(m, fault);
	if (rc != RC_OK) {
		member_close(m);
		return rc;
	}
	*out = m;
	return RC_OK;
}

enum rc member_begin_again(struct member *m, struct fault *fault)
{
	struct msg_instance next = m->instance;
	enum rc rc;

	next.start++;
	random_hex(next.nonce, ID_BYTES);
	rc = save_member(m->dir, m->name, &next, fault);
	if (rc == RC_OK)
		m->instance = next;
	return rc;
}

enum rc member_open(const char *dir, struct member **out, struct fault *fault)
{
	struct member *m;
	char path[FS_PATH_MAX];
	enum rc rc = member_look(dir, &m, fault);

	if (rc != RC_OK)
		return rc;
	rc = fs_check_private(dir, fault);
	if (rc == RC_OK)
		rc = fs_join(path, sizeof(path), dir, "lock");
	if (rc == RC_OK)
		rc = fs_lock(path, &m->lock_fd, fault);
	if (rc == RC_OK)
		rc = member_begin_again(m, fault);
	if (rc != RC_OK) {
		member_close(m);
		return rc;
	}
	*out = m;
	return RC_OK;
}

void member_close(struct member *m)
{
	if (m == NULL)
		return;
	if (m->lock_fd >= 0)
		fs_unlock(m->lock_fd);
	tls_contexts_unref(m->contexts);
	trust_unref(m->trust);
	identity_free(m->identity);
	OPENSSL_cleanse(m->succession, sizeof(m->succession));
	member_upkeep_fini(m);
	free(m->peers);
	free(m);
}

enum rc member_remove(const char *dir, struct fault *fault)
{
	static const char *const names[] = { "member", "succession", "peers",
		"term", "revoked-agents", "revoked-nodes", "trust",
		"joining", /* the key of a join that was cut short */
		"lock" };
	char path[FS_PATH_MAX];
	int dir_fd;
	enum rc rc = identity_dir(path, sizeof(path), dir);

	if (rc == RC_OK)
		rc = identity_remove(path, fault);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return rc;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (rc == RC_OK)
			rc = fs_remove_tree(dir_fd, names[i], fault);
	}
	(void)close(dir_fd);
	return rc;
}

/* --- What it knows -------------------------------------------------------- */

const char *member_cluster(const struct member *m)
{
	return identity_spiffe(m->identity)->cluster;
}

const char *member_id(const struct member *m)
{
	return identity_spiffe(m->identity)->name;
}

enum rc member_set_succession(
    struct member *m, struct bytes token, struct fault *fault)
{
	enum rc rc = save_succession(m->dir, token, fault);

	if (rc != RC_OK)
		return rc;
	memcpy(m->succession, token.p, SUCCESSION_LEN);
	m->has_succession = true;
	return RC_OK;
}

enum rc member_set_peers(struct member *m, const struct msg_peer *peers,
    size_t count, struct fault *fault)
{
	struct msg_peer *copy;
	enum rc rc;

	if (count > PEERS_MAX)
		return RC_LIMIT;
	copy = calloc(PEERS_MAX, sizeof(*copy));
	if (copy == NULL)
		return RC_NOMEM;
	rc = m->follows ? RC_OK : save_peers(m->dir, peers, count, fault);
	if (rc != RC_OK) {
		free(copy);
		return rc;
	}
	if (count > 0)
		memcpy(copy, peers, count * sizeof(*copy));
	free(m->peers);
	m->peers = copy;
	m->peer_count = count;
	return RC_OK;
}

bool member_has_peer(
    const struct member *m, enum peer_role role, const char *name)
{
	for (size_t i = 0; i < m->peer_count; i++) {
		if (m->peers[i].role == role &&
		    strcmp(m->peers[i].name, name) == 0)
			return true;
	}
	return false;
}

void member_hello(const struct member *m, struct msg_hello *hello)
{
	hello->has_instance = true;
	hello->instance = m->instance;
	hello->revocations = member_revocations(m);
	(void)snprintf(
	    hello->boot_id, sizeof(hello->boot_id), "%s", m->boot_id);
}
