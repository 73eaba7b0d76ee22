/* Reading a loaded config. */
#include "common/config_private.h"

#include <assert.h>
#include <string.h>

static const struct config_value *find(
    const struct config *c, const char *section, const char *key)
{
	for (size_t i = 0; i < c->count; i++) {
		if (strcmp(c->options[i].section, section) == 0 &&
		    strcmp(c->options[i].key, key) == 0)
			return &c->values[i];
	}
	assert(false && "an option that is not in the table");
	return NULL;
}

static const struct config_value *value_of(const struct config *c,
    const char *section, const char *key, enum config_type type)
{
	const struct config_value *value = find(c, section, key);

	assert(c->options[value - c->values].type == type);
	return value;
}

bool config_is_set(const struct config *c, const char *section, const char *key)
{
	return find(c, section, key)->text != NULL;
}

const char *config_string(
    const struct config *c, const char *section, const char *key)
{
	return value_of(c, section, key, CONFIG_STRING)->text;
}

const char *config_path(
    const struct config *c, const char *section, const char *key)
{
	return value_of(c, section, key, CONFIG_PATH)->text;
}

int64_t config_int(const struct config *c, const char *section, const char *key)
{
	return value_of(c, section, key, CONFIG_INT)->number;
}

uint64_t config_duration_ms(
    const struct config *c, const char *section, const char *key)
{
	return (uint64_t)value_of(c, section, key, CONFIG_DURATION)->number;
}

uint64_t config_size(
    const struct config *c, const char *section, const char *key)
{
	return (uint64_t)value_of(c, section, key, CONFIG_SIZE)->number;
}

bool config_bool(const struct config *c, const char *section, const char *key)
{
	return value_of(c, section, key, CONFIG_BOOL)->number != 0;
}

enum rc config_endpoint(const struct config *c, const char *section,
    const char *key, struct config_endpoint *out)
{
	const struct config_value *value =
	    value_of(c, section, key, CONFIG_ENDPOINT);

	if (value->text == NULL)
		return RC_NOTFOUND;
	*out = value->endpoint;
	return RC_OK;
}

enum rc config_proxy(const struct config *c, const char *section,
    const char *key, struct proxy *out)
{
	const struct config_value *value =
	    value_of(c, section, key, CONFIG_PROXY);

	if (value->text == NULL)
		return RC_NOTFOUND;
	*out = value->proxy;
	return RC_OK;
}

const char *const *config_list(
    const struct config *c, const char *section, const char *key, size_t *count)
{
	const struct config_value *value =
	    value_of(c, section, key, CONFIG_LIST);

	*count = value->item_count;
	return (const char *const *)value->items;
}

size_t config_item_count(const struct config *c)
{
	return c->count;
}

struct config_item config_item_at(const struct config *c, size_t index)
{
	struct config_item item = { 0 };

	assert(index < c->count);
	item.option = &c->options[index];
	item.value = c->values[index].text;
	item.origin = c->values[index].origin;
	if (item.value != NULL && item.option->secret)
		item.value = "********";
	return item;
}

size_t config_diff(
    const struct config *before, const struct config *after, size_t from)
{
	assert(before->options == after->options);
	for (; from < before->count; from++) {
		const char *a = before->values[from].text;
		const char *b = after->values[from].text;

		if ((a == NULL) != (b == NULL) ||
		    (a != NULL && strcmp(a, b) != 0))
			break;
	}
	return from;
}
