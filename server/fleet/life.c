#include "server/fleet/life.h"

#include <openssl/crypto.h>
#include <string.h>

/*
 * succession        the newest token that was given; zeros: none, and any
 *                   will do
 * succession_before what its receiver showed, until it has confirmed; the same
 *                   as succession: it showed none.  Zeros: confirmed
 */

static bool is_set(const uint8_t *token)
{
	static const uint8_t none[SUCCESSION_LEN];

	return memcmp(token, none, sizeof(none)) != 0;
}

static bool shows(const struct life_shown *shown, const uint8_t *token)
{
	return shown->has_token && is_set(token) &&
	       CRYPTO_memcmp(shown->token, token, SUCCESSION_LEN) == 0;
}

static bool is_waiting_without(const struct store_instance *row)
{
	return is_set(row->succession_before) &&
	       memcmp(row->succession, row->succession_before,
		   sizeof(row->succession)) == 0;
}

static bool token_is_good(
    const struct store_instance *row, const struct life_shown *shown)
{
	if (!is_set(row->succession))
		return true;
	if (!shown->has_token)
		return is_waiting_without(row);
	return shows(shown, row->succession) ||
	       shows(shown, row->succession_before);
}

static bool is_same(
    const struct store_instance *row, const struct life_shown *shown)
{
	return row->start == shown->instance.start &&
	       strcmp(row->nonce, shown->instance.nonce) == 0;
}

struct life_shown life_shown_of(const struct msg_greet *greet)
{
	struct life_shown shown = {
		.instance = greet->instance,
		.counter = greet->counter,
		.quarantine = greet->quarantine,
		.has_token = greet->succession.len == SUCCESSION_LEN,
	};

	if (shown.has_token)
		memcpy(shown.token, greet->succession.p, SUCCESSION_LEN);
	return shown;
}

enum life_verdict life_judge(
    const struct store_instance *row, const struct life_shown *shown)
{
	bool first = row->nonce[0] == '\0';

	if (!token_is_good(row, shown))
		return LIFE_FORK;
	if (is_same(row, shown))
		return LIFE_SAME;
	return first || shown->instance.start > row->start ? LIFE_NEXT
	                                                   : LIFE_FORK;
}

bool life_lost_journal(
    const struct store_instance *row, const struct life_shown *shown)
{
	return !shown->quarantine && row->journal[0] != '\0' &&
	       strcmp(row->journal, shown->instance.journal) != 0;
}

/* The same journal, or the first one.  In quarantine the last one that could
 * be read stays what is known, so that an older copy of it is noticed. */
static void follow_journal(
    const struct life_shown *shown, struct store_instance *next)
{
	const char *journal = shown->instance.journal;

	if (shown->quarantine)
		return;
	if (strcmp(next->journal, journal) != 0 ||
	    next->counter < shown->counter)
		next->counter = shown->counter;
	memcpy(next->journal, journal, sizeof(next->journal));
}

bool life_is_settled(
    const struct store_instance *row, const struct life_shown *shown)
{
	return is_same(row, shown) && shows(shown, row->succession) &&
	       !is_set(row->succession_before) &&
	       (shown->quarantine ||
		   strcmp(row->journal, shown->instance.journal) == 0);
}

bool life_follow(const struct store_instance *row,
    const struct life_shown *shown, const uint8_t *fresh,
    struct store_instance *next)
{
	bool same = is_same(row, shown);

	*next = *row;
	follow_journal(shown, next);
	memcpy(next->nonce, shown->instance.nonce, sizeof(next->nonce));
	next->start = shown->instance.start;
	if (same && shows(shown, row->succession)) {
		life_confirm(next);
		return false;
	}
	/* The same one again: what it was given did not arrive. */
	if (same && is_set(row->succession))
		return true;
	memcpy(next->succession, fresh, sizeof(next->succession));
	memcpy(next->succession_before, shown->has_token ? shown->token : fresh,
	    sizeof(next->succession_before));
	return true;
}

void life_confirm(struct store_instance *row)
{
	memset(row->succession_before, 0, sizeof(row->succession_before));
}
