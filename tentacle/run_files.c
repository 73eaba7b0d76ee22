/* What is on the disk before a script can be started. */
#include "tentacle/run_base.h"

#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- Files -------------------------------------------------------------- */

static enum rc spec_path(const struct run_spec *spec, const char *name,
    char out[FS_PATH_MAX], struct fault *fault)
{
	enum rc rc = fs_join(out, FS_PATH_MAX, spec->dir, name);

	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "the path of '%s' in %s "
		    "is too long",
		    name, spec->dir);
	return rc;
}

static enum rc write_file(const struct run_spec *spec, const char *path,
    struct bytes data, mode_t mode, struct fault *fault)
{
	return spec->again || spec->passing
	           ? fs_write_unsynced(path, data.p, data.len, mode, fault)
	           : fs_write_atomic(path, data.p, data.len, mode, fault);
}

static enum rc write_secrets(const struct run_spec *spec, struct fault *fault)
{
	char dir[FS_PATH_MAX], path[FS_PATH_MAX], name[VARIABLE_SIZE];
	enum rc rc = spec_path(spec, "secrets", dir, fault);

	if (rc == RC_OK && spec->secret_count > 0)
		rc = fs_make_private_dir(dir, fault);
	for (size_t i = 0; rc == RC_OK && i < spec->secret_count; i++) {
		const struct msg_pair *s = &spec->secrets[i];

		(void)snprintf(name, sizeof(name), "%.*s", (int)s->name.len,
		    (const char *)s->name.p);
		if (s->name.len >= sizeof(name) || !variable_is_valid(name)) {
			fault_set(fault, REASON_BAD_CONFIG, "",
			    "a secret for a script has no valid name");
			return RC_PROTO;
		}
		rc = fs_join(path, sizeof(path), dir, name);
		if (rc == RC_OK)
			/* Synced: by them the output is masked, after whatever.
			 */
			rc = fs_write_atomic(
			    path, s->value.p, s->value.len, 0600, fault);
	}
	return rc;
}

/* --- Environment and order ---------------------------------------------- */

static enum rc set_if(
    struct environment *e, const char *name, const char *value)
{
	return value != NULL ? environment_set(e, name, value) : RC_OK;
}

static const char *home_of(
    const struct run_spec *spec, const struct run_user *user)
{
	if (user->name[0] != '\0')
		return user->home;
	return spec->home != NULL ? spec->home : "/";
}

static enum rc build_environment(const struct run_spec *spec,
    const struct run_user *user, const struct run_places *places,
    struct environment **out, struct fault *fault)
{
	const char *name = user->name[0] != '\0' ? user->name : NULL;
	char path[FS_PATH_MAX + sizeof(RUN_PATH)] = RUN_PATH;
	struct environment *e = NULL;
	enum rc rc = environment_new(&e);
	const char *const ours[][2] = { { "PATH", path },
		{ "HOME", home_of(spec, user) }, { "USER", name },
		{ "LOGNAME", name }, { "LONGARM_TICKET", spec->ticket },
		{ "LONGARM_MACHINE", spec->machine.name },
		{ "LONGARM_MACHINE_ID", spec->machine.id },
		{ "LONGARM_RUN_DIR", places->work },
		{ "LONGARM_SECRETS_DIR", places->secrets },
		{ "LONGARM_PACKAGE_DIR", spec->package_dir },
		{ "LONGARM_PREVIOUS_DIR", spec->previous_dir } };
	if (spec->helpers != NULL && spec->helpers[0] != '\0')
		(void)snprintf(
		    path, sizeof(path), "%s:" RUN_PATH, spec->helpers);
	for (size_t i = 0; rc == RC_OK && i < sizeof(ours) / sizeof(*ours); i++)
		rc = set_if(e, ours[i][0], ours[i][1]);
	bool lang = false;
	for (size_t i = 0; rc == RC_OK && i < spec->environment_count; i++) {
		lang |=
		    bytes_equal(spec->environment[i].name, bytes_text("LANG"));
		rc = environment_add(e, &spec->environment[i], fault);
	}
	if (rc == RC_OK && !lang)
		rc = environment_set(e, "LANG", "C.UTF-8");
	if (rc != RC_OK) {
		environment_free(e);
		return rc;
	}
	*out = e;
	return RC_OK;
}

static bool has_shebang(struct bytes body)
{
	return body.len >= 2 && body.p[0] == '#' && body.p[1] == '!';
}

static uint64_t or_default(uint64_t v, uint64_t other)
{
	return v != 0 ? v : other;
}

enum rc run_place(const char *dir, const char *name, char out[FS_PATH_MAX])
{
	char sub[40];

	if (snprintf(sub, sizeof(sub), "run-%s", name) >= (int)sizeof(sub))
		return RC_LIMIT;
	return fs_join(out, FS_PATH_MAX, dir, sub);
}

static size_t count_list(char *const *list)
{
	size_t n = 0;

	while (list[n] != NULL)
		n++;
	return n;
}

static void fill_user(const struct run_user *user, struct guard_order *o)
{
	o->has_user = user->other;
	if (!user->other)
		return;
	o->uid = user->uid;
	o->gid = user->gid;
	o->group_count = user->group_count;
	memcpy(o->groups, user->groups, sizeof(o->groups));
}

/* Fills in what the guardians are told; texts are borrowed. */
static enum rc write_order(const struct run_spec *spec,
    const struct run_user *user, const char *place, struct fault *fault)
{
	struct run_places p;
	struct guard_order o = { .ticket = spec->ticket,
		.name = spec->name,
		.workdir = spec->workdir != NULL ? spec->workdir : p.work,
		.memory = spec->memory,
		.processes = spec->processes,
		.timeout_ms =
		    or_default(spec->timeout_ms, RUN_TIMEOUT_DEFAULT_MS),
		.grace_ms = or_default(spec->grace_ms, RUN_GRACE_MS),
		.output_max = or_default(spec->output_max, RUN_OUTPUT_MAX),
		.passing = spec->passing };
	char shell[] = "/bin/sh", path[FS_PATH_MAX];
	struct environment *e = NULL;
	uint8_t *data = NULL;
	size_t len = 0;
	enum rc rc = run_user_places(spec, user, &p);

	fill_user(user, &o);
	if (rc == RC_OK)
		rc = build_environment(spec, user, &p, &e, fault);
	if (rc != RC_OK)
		return rc;
	if (!has_shebang(spec->body))
		o.args[o.arg_count++] = shell;
	o.args[o.arg_count++] = p.script;
	o.env = environment_list(e);
	o.env_count = count_list(o.env);
	rc = guard_order_encode(&o, &data, &len);
	if (rc == RC_LIMIT)
		fault_set(fault, REASON_TOO_MANY, "",
		    "the variables of the script have more than %d bytes",
		    GUARD_ORDER_MAX);
	if (rc == RC_OK)
		rc = fs_join(path, sizeof(path), place, "order");
	if (rc == RC_OK)
		rc = write_file(spec, path, bytes_of(data, len), 0600, fault);
	free(data);
	environment_free(e);
	return rc;
}

void run_new_record(struct guard_record *r, uint32_t attempt,
    uint64_t timeout_ms, uint8_t out[GUARD_RECORD_SIZE])
{
	memset(r, 0, sizeof(*r));
	r->header.attempt = attempt;
	r->header.until_ms = guard_now_ms() + timeout_ms;
	guard_boot_id(r->header.boot);
	guard_record_encode(r, out);
}

static enum rc write_record(
    const struct run_spec *spec, const char *place, struct fault *fault)
{
	uint8_t bytes[GUARD_RECORD_SIZE];
	struct guard_record record;
	char path[FS_PATH_MAX];
	enum rc rc = fs_join(path, sizeof(path), place, "record");

	/* Attempt 0: nobody was started yet. */
	run_new_record(&record, 0,
	    or_default(spec->timeout_ms, RUN_TIMEOUT_DEFAULT_MS), bytes);
	if (rc == RC_OK)
		rc = write_file(
		    spec, path, bytes_of(bytes, sizeof(bytes)), 0600, fault);
	return rc;
}

static enum rc prepare_guard(const struct run_spec *spec,
    const struct run_user *user, const char *place, struct fault *fault)
{
	enum rc rc = write_order(spec, user, place, fault);

	if (rc == RC_OK)
		rc = write_record(spec, place, fault);
	/* Its record must be found: not there, or empty, it never began. */
	if (rc == RC_OK && spec->again && !spec->passing) {
		rc = fs_sync_dir(place);
		if (rc == RC_OK)
			rc = fs_sync_dir(spec->dir);
		if (rc != RC_OK)
			fault_set(fault, REASON_INTERNAL, "",
			    "%s: cannot sync: %s", place,
			    strerrordesc_np(errno));
	}
	return rc;
}

/* Its own to do with as it likes, also when there are more scripts. */
static enum rc make_work(const struct run_spec *spec, struct fault *fault)
{
	char path[FS_PATH_MAX];
	enum rc rc = spec_path(spec, RUN_WORK, path, fault);

	if (rc != RC_OK || mkdir(path, 0700) == 0 || errno == EEXIST)
		return rc;
	fault_set(fault, REASON_INTERNAL, "", "%s: cannot create: %s", path,
	    strerrordesc_np(errno));
	return RC_IO;
}

static enum rc make_output(const struct run_spec *spec, struct fault *fault)
{
	char path[FS_PATH_MAX];
	enum rc rc = spec_path(spec, "output", path, fault);
	int fd;

	if (rc != RC_OK)
		return rc;
	fd = open(
	    path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		fault_set(fault, REASON_INTERNAL, "", "%s: cannot create: %s",
		    path, strerrordesc_np(errno));
		return RC_IO;
	}
	(void)close(fd);
	return RC_OK;
}

/* The script last: with it the names of all that is there are synced; what is
 * prepared again, if need be, does that by itself at the end. */
static enum rc fill_dir(const struct run_spec *spec,
    const struct run_user *user, const char *place, struct fault *fault)
{
	char path[FS_PATH_MAX];
	enum rc rc = fs_make_private_dir(spec->dir, fault);

	if (rc == RC_OK)
		rc = fs_make_private_dir(place, fault);
	if (rc == RC_OK && !user->other)
		rc = make_work(spec, fault);
	if (rc == RC_OK)
		rc = make_output(spec, fault);
	if (rc == RC_OK)
		rc = write_secrets(spec, fault);
	if (rc == RC_OK)
		rc = spec_path(spec, spec->name, path, fault);
	return rc == RC_OK ? write_file(spec, path, spec->body, 0700, fault)
	                   : rc;
}

enum rc run_prepare(const struct run_spec *spec, struct fault *fault)
{
	char place[FS_PATH_MAX];
	struct run_user user;
	enum rc rc = run_user_find(spec->user, &user, fault);

	if (rc == RC_OK)
		rc = run_place(spec->dir, spec->name, place);
	if (rc == RC_OK)
		rc = fill_dir(spec, &user, place, fault);
	if (rc == RC_OK)
		rc = run_user_prepare(spec, &user, fault);
	return rc == RC_OK ? prepare_guard(spec, &user, place, fault) : rc;
}
