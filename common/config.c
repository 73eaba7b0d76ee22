#include "common/config_private.h"

#include "common/fs.h"
#include "common/ini.h"
#include "common/log.h"
#include "common/nearest.h"
#include "common/xalloc.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config_errors {
	size_t count;
	char *texts[CONFIG_ERRORS_MAX];
};

/* One load in progress. */
struct loading {
	const struct config_source *source;
	struct config *config;
	struct config_errors **errors;
	size_t layer;
};

void config_errors_add(struct config_errors **errors,
    const struct config_place *place, const char *format, ...)
{
	char text[512];
	struct config_errors *e;
	va_list args;

	if (*errors == NULL)
		*errors = xcalloc(1, sizeof(**errors));
	e = *errors;
	if (e->count == CONFIG_ERRORS_MAX)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (place->line > 0)
		e->texts[e->count++] = xprintf("%s:%zu:%zu: %s", place->origin,
		    place->line, place->column, text);
	else if (place->origin != NULL)
		e->texts[e->count++] = xprintf("%s: %s", place->origin, text);
	else
		e->texts[e->count++] = xstrdup(text);
}

size_t config_errors_count(const struct config_errors *e)
{
	return e == NULL ? 0 : e->count;
}

const char *config_errors_text(const struct config_errors *e, size_t index)
{
	assert(index < config_errors_count(e));
	return e->texts[index];
}

void config_errors_free(struct config_errors *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < e->count; i++)
		free(e->texts[i]);
	free(e);
}

static size_t find_option(
    const struct config *c, const char *section, const char *key)
{
	size_t i;

	for (i = 0; i < c->count; i++) {
		if (strcmp(c->options[i].section, section) == 0 &&
		    strcmp(c->options[i].key, key) == 0)
			break;
	}
	return i;
}

/* No such key: was it another key of this section, or another section? */
static void refuse_unknown(struct loading *l, const struct config_place *place,
    const char *section, const char *key)
{
	const struct config *c = l->config;
	struct nearest keys, sections;
	bool known_section = false;
	const char *near;

	nearest_init(&keys, key);
	nearest_init(&sections, section);
	for (size_t i = 0; i < c->count; i++) {
		nearest_consider(&sections, c->options[i].section);
		if (strcmp(c->options[i].section, section) != 0)
			continue;
		known_section = true;
		nearest_consider(&keys, c->options[i].key);
	}
	near = nearest_name(known_section ? &keys : &sections);
	if (known_section)
		config_errors_add(l->errors, place,
		    "unknown key '%s' in [%s]%s%s%s", key, section,
		    near != NULL ? "; did you mean '" : "",
		    near != NULL ? near : "", near != NULL ? "'?" : "");
	else
		config_errors_add(l->errors, place,
		    "unknown section [%s]%s%s%s", section,
		    near != NULL ? "; did you mean [" : "",
		    near != NULL ? near : "", near != NULL ? "]?" : "");
}

/* Give option `index` the text, or say why not. */
static void assign(struct loading *l, const struct config_place *place,
    size_t index, const char *text)
{
	const struct config_option *o = &l->config->options[index];
	struct config_value *value = &l->config->values[index];
	char *joined = NULL;
	char why[200];

	if (value->layer == place->layer && value->text != NULL) {
		if (o->type == CONFIG_LIST) {
			joined = xprintf("%s, %s", value->text, text);
			text = joined;
		} else if (place->line > 0) {
			config_errors_add(l->errors, place,
			    "'%s' in [%s] was set in line %zu already", o->key,
			    o->section, value->line);
			return;
		}
	}
	if (config_value_set(value, o, text, why, sizeof(why)) != RC_OK) {
		config_errors_add(l->errors, place, "%s.%s%s%s%s %s",
		    o->section, o->key, o->secret ? "" : ": '",
		    o->secret ? "" : text, o->secret ? "" : "'", why);
	} else {
		value->layer = place->layer;
		value->line = place->line;
		value->origin =
		    place->line > 0
			? xprintf("%s:%zu", place->origin, place->line)
			: xstrdup(place->origin);
	}
	free(joined);
}

static void load_text(
    struct loading *l, const char *file, const uint8_t *data, size_t len)
{
	struct config_place place = { .origin = file, .layer = l->layer };
	enum ini_event event;
	struct ini ini;

	ini_init(&ini, (const char *)data, len);
	while ((event = ini_next(&ini)) != INI_END) {
		size_t index;

		place.line = ini.line;
		place.column = ini.column;
		if (event == INI_ERROR) {
			config_errors_add(l->errors, &place, "%s", ini.error);
			continue;
		}
		index = find_option(l->config, ini.section, ini.key);
		if (index == l->config->count) {
			refuse_unknown(l, &place, ini.section, ini.key);
			continue;
		}
		place.column = ini.value_column;
		assign(l, &place, index, ini.value);
	}
	explicit_bzero(ini.value, sizeof(ini.value));
}

static void load_file(struct loading *l, const char *path, bool required)
{
	const struct config_place nowhere = { 0 };
	struct fault fault = { 0 };
	uint8_t *data;
	size_t len;
	enum rc rc = fs_read_file(path, CONFIG_FILE_MAX, &data, &len, &fault);

	l->layer++;
	if (rc == RC_NOTFOUND && !required)
		return;
	if (rc != RC_OK) {
		config_errors_add(l->errors, &nowhere, "%s",
		    rc == RC_NOMEM ? "out of memory" : fault.text);
		return;
	}
	load_text(l, path, data, len);
	explicit_bzero(data, len);
	free(data);
}

static int is_drop_in(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 &&
	       strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_drop_ins(struct loading *l, const char *file)
{
	const struct config_place nowhere = { 0 };
	char *dir = xprintf("%s.d", file);
	struct dirent **entries = NULL;
	int count = scandir(dir, &entries, is_drop_in, by_bytes);

	if (count < 0 && errno != ENOENT)
		config_errors_add(l->errors, &nowhere, "cannot read %s: %s",
		    dir, strerrordesc_np(errno));
	for (int i = 0; i < count; i++) {
		char *path = xprintf("%s/%s", dir, entries[i]->d_name);

		load_file(l, path, true);
		free(path);
		free(entries[i]);
	}
	free((void *)entries);
	free(dir);
}

/* LONGARM_SERVER_LOG_LEVEL */
static char *environment_name(
    const char *program, const char *section, const char *key)
{
	char *name = xprintf("LONGARM_%s_%s_%s", program, section, key);

	for (char *at = name; *at != '\0'; at++) {
		if (*at >= 'a' && *at <= 'z')
			*at = (char)(*at - 'a' + 'A');
		else if (*at == '-')
			*at = '_';
	}
	return name;
}

static void load_environment(struct loading *l)
{
	const struct config *c = l->config;

	l->layer++;
	for (size_t i = 0; i < c->count; i++) {
		char *name = environment_name(l->source->program,
		    c->options[i].section, c->options[i].key);
		size_t len = strlen(name);

		for (char *const *e = l->source->environment; *e != NULL; e++) {
			if (strncmp(*e, name, len) == 0 && (*e)[len] == '=') {
				char *origin = xprintf("environment %s", name);
				const struct config_place place = {
					.origin = origin, .layer = l->layer
				};

				assign(l, &place, i, *e + len + 1);
				free(origin);
				break;
			}
		}
		free(name);
	}
}

/* A name that looks like ours but is not: a slip, or another tool's. */
static void warn_of_strays(const struct loading *l)
{
	char *prefix = environment_name(l->source->program, "", "");
	const struct config *c = l->config;

	/* "LONGARM_SERVER__": one underscore too many. */
	prefix[strlen(prefix) - 1] = '\0';
	for (char *const *e = l->source->environment; *e != NULL; e++) {
		size_t len = strcspn(*e, "=");
		bool known = false;

		if (strncmp(*e, prefix, strlen(prefix)) != 0)
			continue;
		for (size_t i = 0; i < c->count && !known; i++) {
			char *name = environment_name(l->source->program,
			    c->options[i].section, c->options[i].key);

			known =
			    strlen(name) == len && strncmp(name, *e, len) == 0;
			free(name);
		}
		if (!known)
			log_warn("config", NULL,
			    "environment variable %.*s is no setting", (int)len,
			    *e);
	}
	free(prefix);
}

static void load_flag(struct loading *l, const char *text)
{
	const struct config_place place = { .origin = "flag",
		.layer = l->layer };
	const char *equals = strchr(text, '=');
	const char *dot = strchr(text, '.');
	char *section, *key;
	size_t index;

	if (equals == NULL || dot == NULL || dot > equals) {
		config_errors_add(l->errors, &place,
		    "expected SECTION.KEY=VALUE, not '%.*s'",
		    (int)strcspn(text, "="), text);
		return;
	}
	section = strndup(text, (size_t)(dot - text));
	key = strndup(dot + 1, (size_t)(equals - dot - 1));
	if (section != NULL && key != NULL) {
		index = find_option(l->config, section, key);
		if (index == l->config->count)
			refuse_unknown(l, &place, section, key);
		else
			assign(l, &place, index, equals + 1);
	}
	free(section);
	free(key);
}

static void load_defaults(struct loading *l)
{
	const struct config *c = l->config;
	char why[200];

	for (size_t i = 0; i < c->count; i++) {
		const char *initial = c->options[i].initial;
		enum rc rc = RC_OK;

		if (initial != NULL)
			rc = config_value_set(&c->values[i], &c->options[i],
			    initial, why, sizeof(why));
		assert(rc == RC_OK);
		c->values[i].origin = xstrdup("default");
	}
}

static void check_required(struct loading *l)
{
	const struct config_place place = { .origin = l->source->file };
	const struct config *c = l->config;

	for (size_t i = 0; i < c->count; i++) {
		if (c->options[i].required && c->values[i].text == NULL)
			config_errors_add(l->errors, &place,
			    "'%s' in [%s] is required: %s", c->options[i].key,
			    c->options[i].section, c->options[i].help);
	}
}

enum rc config_load(const struct config_source *source, struct config **out,
    struct config_errors **errors)
{
	struct loading l = { .source = source, .errors = errors };

	*errors = NULL;
	l.config = xcalloc(1, sizeof(*l.config));
	l.config->options = source->options;
	l.config->count = source->option_count;
	l.config->values =
	    xcalloc(source->option_count, sizeof(*l.config->values));
	load_defaults(&l);
	if (source->file != NULL) {
		load_file(&l, source->file, source->file_required);
		load_drop_ins(&l, source->file);
	}
	if (source->environment != NULL) {
		load_environment(&l);
		warn_of_strays(&l);
	}
	l.layer++;
	for (size_t i = 0; i < source->flag_count; i++)
		load_flag(&l, source->flags[i]);
	check_required(&l);
	if (*errors != NULL) {
		config_free(l.config);
		return RC_PROTO;
	}
	*out = l.config;
	return RC_OK;
}

void config_free(struct config *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->count; i++)
		config_value_fini(&c->values[i]);
	free(c->values);
	free(c);
}
