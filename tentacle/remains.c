#include "tentacle/remains.h"

#include "common/fs.h"
#include "common/log.h"
#include "common/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES      10000 /* of one tree, before others get their turn */
#define ROUNDS       100   /* of one look */
#define SUFFIX_BYTES 6

struct remains {
	struct worker_pool *workers;
	const char *dirs[2];
	bool at_work;    /* a worker has what is below */
	bool again;      /* more came meanwhile */
	bool unfinished; /* a tree has more entries than its part */
	unsigned rounds; /* left */
};

enum rc remains_new(struct worker_pool *workers, const char *runs,
    const char *worlds, struct remains **out)
{
	struct remains *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return RC_NOMEM;
	r->workers = workers;
	r->dirs[0] = runs;
	r->dirs[1] = worlds;
	*out = r;
	return RC_OK;
}

void remains_free(struct remains *r)
{
	free(r);
}

/* --- A worker's part ---------------------------------------------------- */

static int is_gone(const struct dirent *d)
{
	return strncmp(d->d_name, REMAINS_BEGIN, sizeof(REMAINS_BEGIN) - 1) ==
	       0;
}

static void remove_one(struct remains *r, int dir, const char *name)
{
	uint64_t budget = ENTRIES;
	struct fault fault = { 0 };
	enum rc rc = fs_remove_some(dir, name, &budget, &fault);

	if (rc == RC_AGAIN)
		r->unfinished = true;
	else if (rc != RC_OK)
		log_warn("job", "", "%s", fault.text);
}

static void remove_all(struct remains *r, const char *path)
{
	struct dirent **names = NULL;
	int count = scandir(path, &names, is_gone, NULL);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < count; i++) {
		if (dir >= 0)
			remove_one(r, dir, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	if (dir >= 0)
		(void)close(dir);
}

static void work(void *arg)
{
	struct remains *r = arg;

	for (size_t i = 0; i < sizeof(r->dirs) / sizeof(r->dirs[0]); i++)
		remove_all(r, r->dirs[i]);
}

/* --- The loop's part ---------------------------------------------------- */

static void worked(void *arg);

static void submit(struct remains *r)
{
	r->again = false;
	r->unfinished = false;
	/* The workers have enough to do: the next look finds it. */
	r->at_work = worker_submit(r->workers, work, worked, r) == RC_OK;
}

static void worked(void *arg)
{
	struct remains *r = arg;

	r->at_work = false;
	if (r->rounds > 0)
		r->rounds--;
	if (r->rounds == 0 && r->unfinished)
		log_warn("job", "",
		    "what a script left is not removed yet: it is much, or "
		    "something writes there still; the next look is in an "
		    "hour");
	else if (r->again || r->unfinished)
		submit(r);
}

void remains_look(struct remains *r)
{
	r->rounds = ROUNDS;
	if (r->at_work)
		r->again = true;
	else
		submit(r);
}

void remains_add(struct remains *r, const char *dir, const char *name)
{
	char suffix[2 * SUFFIX_BYTES + 1];
	char from[FS_PATH_MAX], gone[80], to[FS_PATH_MAX];
	enum rc rc = fs_join(from, sizeof(from), dir, name);

	if (dir[0] == '\0')
		return;
	random_hex(suffix, SUFFIX_BYTES);
	(void)snprintf(
	    gone, sizeof(gone), REMAINS_BEGIN "%.40s-%s", name, suffix);
	if (rc == RC_OK)
		rc = fs_join(to, sizeof(to), dir, gone);
	if (rc == RC_OK && rename(from, to) == 0) {
		remains_look(r);
		return;
	}
	if (rc != RC_OK || errno != ENOENT)
		log_warn("job", name, "%s: cannot be renamed: %s", from,
		    rc != RC_OK ? rc_name(rc) : strerrordesc_np(errno));
}
