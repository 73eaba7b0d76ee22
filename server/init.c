#include "server/init_private.h"

#include "common/clock.h"
#include "common/fs.h"
#include "common/random.h"
#include "common/secret.h"
#include "server/auth/apikey.h"
#include "server/store/setting.h"
#include "server/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What init makes; also what it removes when it fails. */
static const char *const made[] = {
	"longarm.db",
	"longarm.db-wal",
	"longarm.db-shm",
	"master.key",
	"node.id",
	"operator.login",
	"ca",
	"node",
	"https",
};

static MUST_CHECK enum rc check_new(struct making *m)
{
	char path[SERVER_PATH_SIZE];
	enum rc rc = RC_OK;

	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		rc = server_path(m->settings, made[i], path, m->fault);
		if (rc != RC_OK)
			return rc;
		if (access(path, F_OK) != 0)
			continue;
		fault_set(m->fault, REASON_CONFLICT, "",
		    "%s exists: this server was initialised already; start it "
		    "by: longarm-server serve",
		    path);
		return RC_EXISTS;
	}
	return RC_OK;
}

static void undo(const struct making *m)
{
	int fd = open(m->settings->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct fault fault;

	if (fd < 0)
		return;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		(void)!fs_remove_tree(fd, made[i], &fault);
	(void)close(fd);
}

/* ---- names ---- */

static void read_host(struct making *m)
{
	if (gethostname(m->host, sizeof(m->host) - 1) != 0 ||
	    m->host[0] == '\0')
		(void)snprintf(m->host, sizeof(m->host), "localhost");
}

static MUST_CHECK enum rc choose_node(struct making *m)
{
	const char *name = m->request->node;

	if (name == NULL)
		name = m->settings->name;
	if (name == NULL) {
		(void)snprintf(m->report.node, sizeof(m->report.node), "%.*s",
		    (int)strcspn(m->host, "."), m->host);
		name = m->report.node;
	}
	if (name_check("node", name, m->fault) != RC_OK)
		return RC_PROTO;
	(void)memmove(m->report.node, name, strlen(name) + 1);
	return RC_OK;
}

/* Where the API listens, when that is one address; else this host's name. */
static const char *default_http_name(const struct making *m)
{
	const char *host = m->settings->http.host;

	if (host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 ||
	    strcmp(host, "::") == 0)
		return m->host;
	return host;
}

static MUST_CHECK enum rc choose_http_names(struct making *m)
{
	static const char *const always[] = { "localhost", "127.0.0.1", "::1" };
	const char *const *given = m->request->http_names;
	size_t count = m->request->http_name_count;

	if (count == 0) {
		given = m->settings->http_names;
		count = m->settings->http_name_count;
	}
	if (count + 4 > CA_HTTPS_NAMES_MAX) {
		fault_set(m->fault, REASON_BAD_CONFIG, "",
		    "at most %d names for the HTTPS certificate",
		    CA_HTTPS_NAMES_MAX - 4);
		return RC_LIMIT;
	}
	for (size_t i = 0; i < count; i++)
		m->names[m->name_count++] = given[i];
	if (count == 0)
		m->names[m->name_count++] = default_http_name(m);
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		bool known = false;

		for (size_t k = 0; k < m->name_count; k++)
			known = known || strcmp(m->names[k], always[i]) == 0;
		if (!known)
			m->names[m->name_count++] = always[i];
	}
	return RC_OK;
}

static MUST_CHECK enum rc choose_url(struct making *m)
{
	const char *url = m->request->url;
	bool v6 = strchr(m->names[0], ':') != NULL;
	int n;

	if (url != NULL && strncmp(url, "https://", 8) != 0) {
		fault_set(m->fault, REASON_BAD_CONFIG, "",
		    "--url must begin with https://");
		return RC_PROTO;
	}
	if (url != NULL)
		n = snprintf(m->report.url, sizeof(m->report.url), "%s", url);
	else
		n = snprintf(m->report.url, sizeof(m->report.url),
		    v6 ? "https://[%s]:%u" : "https://%s:%u", m->names[0],
		    (unsigned)m->settings->http.port);
	if (n < 0 || (size_t)n >= sizeof(m->report.url)) {
		fault_set(m->fault, REASON_BAD_CONFIG, "",
		    "the URL is longer than %d bytes", INIT_URL_SIZE - 1);
		return RC_LIMIT;
	}
	return RC_OK;
}

/* ---- the database ---- */

struct fill {
	struct store_job job;
	struct making *m;
	char key[APIKEY_TEXT_SIZE];
};

static MUST_CHECK enum rc add_agents_key(struct db *db, struct making *m)
{
	char pem[KEY_PEM_MAX];
	uint8_t wrapped[KEY_PEM_MAX + WRAP_OVERHEAD];
	size_t len = 0;
	enum rc rc = ca_key_pem(m->agents, pem, &len);

	if (rc == RC_OK)
		rc = wrap_seal(&m->master, SETTING_AGENTS_KEY,
		    (const uint8_t *)pem, len, wrapped);
	if (rc == RC_OK)
		rc = store_setting_add(
		    db, SETTING_AGENTS_KEY, wrapped, len + WRAP_OVERHEAD);
	secret_wipe(pem, sizeof(pem));
	return rc;
}

static enum rc fill(struct db *db, struct store_job *job)
{
	struct fill *f = CONTAINER_OF(job, struct fill, job);
	struct making *m = f->m;
	const struct apikey_wish wish = { .name = "operator",
		.permissions = PERM_ALL,
		.now_ms = (uint64_t)clock_wall_ms() };
	char incarnation[64], random[ID_SIZE];
	enum rc rc = store_setting_add(
	    db, SETTING_CLUSTER, m->report.cluster, strlen(m->report.cluster));

	random_hex(random, ID_BYTES);
	(void)snprintf(incarnation, sizeof(incarnation), "%lld-%s",
	    (long long)m->now_s, random);
	if (rc == RC_OK)
		rc = store_setting_add(
		    db, SETTING_INCARNATION, incarnation, strlen(incarnation));
	if (rc == RC_OK)
		rc = add_agents_key(db, m);
	if (rc == RC_OK)
		rc = apikey_create(db, &wish, f->key, m->fault);
	return rc;
}

static MUST_CHECK enum rc write_login(struct making *m, const char *key)
{
	char *ca = NULL, *text = NULL;
	json_t *login = NULL;
	size_t len;
	enum rc rc = certs_pem(ca_chain(m->root), &ca, &len);

	if (rc != RC_OK)
		return rc;
	login = json_pack("{s:i, s:s, s:s, s:s, s:s}", "format", 1, "url",
	    m->report.url, "ca_pin", m->report.ca_pin, "ca", ca, "key", key);
	text = json_dumps(login, JSON_INDENT(2));
	if (text != NULL)
		rc = init_write(m, "operator.login", text, strlen(text));
	else
		rc = RC_NOMEM;
	if (text != NULL)
		secret_wipe(text, strlen(text));
	free(text);
	free(ca);
	json_decref(login);
	return rc;
}

static MUST_CHECK enum rc make_database(struct making *m)
{
	struct fill f = { .job.run = fill, .m = m };
	struct store *store = NULL;
	enum rc rc = store_open(m->settings->state, NULL, &store, m->fault);

	if (rc == RC_OK)
		rc = store_call(store, &f.job);
	store_close(store);
	if (rc == RC_OK)
		rc = write_login(m, f.key);
	secret_wipe(f.key, sizeof(f.key));
	return rc;
}

/* ---- all of it ---- */

static MUST_CHECK enum rc choose(struct making *m)
{
	enum rc rc;

	read_host(m);
	rc = choose_node(m);
	if (rc == RC_OK)
		rc = choose_http_names(m);
	if (rc == RC_OK)
		rc = choose_url(m);
	if (rc == RC_OK)
		rc = server_path(
		    m->settings, "operator.login", m->report.login, m->fault);
	return rc;
}

enum rc server_init(const struct init_request *request,
    struct init_report *report, struct fault *fault)
{
	struct making m = { .request = request,
		.settings = request->settings,
		.fault = fault,
		.now_s = clock_wall_ms() / 1000 };
	enum rc rc;

	fault_clear(fault);
	rc = choose(&m);
	if (rc == RC_OK)
		rc = fs_make_private_dir(m.settings->state, fault);
	if (rc == RC_OK)
		rc = check_new(&m);
	if (rc != RC_OK)
		return rc;
	random_hex(m.report.cluster, ID_BYTES);
	rc = init_make_keys(&m);
	if (rc == RC_OK)
		rc = make_database(&m);
	if (rc == RC_OK)
		*report = m.report;
	else
		undo(&m);
	if (rc != RC_OK && fault->code == REASON_NONE)
		fault_set(
		    fault, REASON_INTERNAL, "", "init failed: %s", rc_name(rc));
	ca_free(m.root);
	ca_free(m.agents);
	ca_free(m.nodes);
	wrap_key_fini(&m.master);
	return rc;
}
