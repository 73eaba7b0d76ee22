#include "common/clock.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
	struct timespec ts;
	int failed = clock_gettime(id, &ts);

	assert(failed == 0);
	(void)failed;
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_monotonic_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_monotonic_ms(void)
{
	return read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t clock_boottime_us(void)
{
	return read_us(CLOCK_BOOTTIME);
}

int64_t clock_wall_ms(void)
{
	return (int64_t)(read_us(CLOCK_REALTIME) / 1000);
}

void clock_format(int64_t wall_ms, char *out)
{
	static const int64_t year_0_ms = -62167219200000;
	static const int64_t year_10000_ms = 253402300800000;
	int64_t rest_ms;
	time_t seconds;
	struct tm tm;
	size_t len;

	if (wall_ms < year_0_ms)
		wall_ms = year_0_ms;
	if (wall_ms >= year_10000_ms)
		wall_ms = year_10000_ms - 1;
	rest_ms = ((wall_ms % 1000) + 1000) % 1000;
	seconds = (time_t)((wall_ms - rest_ms) / 1000);
	(void)gmtime_r(&seconds, &tm);
	len = strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	/* strftime writes year 7 as "7". */
	if (len < 19) {
		memmove(out + (19 - len), out, len + 1);
		memset(out, '0', 19 - len);
	}
	(void)snprintf(
	    out + 19, CLOCK_TEXT_MAX - 19, ".%03uZ", (unsigned)rest_ms);
}

/* Exactly count digits at *at. */
static bool take_digits(const char **at, int count, int *out)
{
	int value = 0;

	for (int i = 0; i < count; i++) {
		char c = (*at)[i];

		if (c < '0' || c > '9')
			return false;
		value = value * 10 + (c - '0');
	}
	*at += count;
	*out = value;
	return true;
}

static bool take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool take_date(const char **at, struct tm *tm)
{
	if (!take_digits(at, 4, &tm->tm_year) || !take_char(at, '-') ||
	    !take_digits(at, 2, &tm->tm_mon) || !take_char(at, '-') ||
	    !take_digits(at, 2, &tm->tm_mday))
		return false;
	tm->tm_year -= 1900;
	tm->tm_mon -= 1;
	return tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1 &&
	       tm->tm_mday <= 31;
}

static bool take_time(const char **at, struct tm *tm)
{
	return take_digits(at, 2, &tm->tm_hour) && take_char(at, ':') &&
	       take_digits(at, 2, &tm->tm_min) && take_char(at, ':') &&
	       take_digits(at, 2, &tm->tm_sec) && tm->tm_hour < 24 &&
	       tm->tm_min < 60 && tm->tm_sec <= 60;
}

static bool take_fraction_ms(const char **at, int64_t *ms)
{
	int64_t unit = 100;

	*ms = 0;
	if (!take_char(at, '.'))
		return true;
	if (**at < '0' || **at > '9')
		return false;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		*ms += (**at - '0') * unit;
		unit /= 10;
	}
	return true;
}

static bool take_zone_ms(const char **at, int64_t *ms)
{
	int hours, minutes;
	bool west = **at == '-';

	*ms = 0;
	if (take_char(at, 'Z') || take_char(at, 'z'))
		return true;
	if (**at != '+' && **at != '-')
		return false;
	(*at)++;
	if (!take_digits(at, 2, &hours) || !take_char(at, ':') ||
	    !take_digits(at, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ms = ((int64_t)hours * 60 + minutes) * 60000;
	if (west)
		*ms = -*ms;
	return true;
}

enum rc clock_parse(const char *text, int64_t *wall_ms)
{
	const char *at = text;
	struct tm tm = { 0 };
	int64_t fraction_ms, zone_ms;
	time_t seconds;
	int day;

	if (!take_date(&at, &tm) ||
	    !(take_char(&at, 'T') || take_char(&at, 't') ||
		take_char(&at, ' ')) ||
	    !take_time(&at, &tm) || !take_fraction_ms(&at, &fraction_ms) ||
	    !take_zone_ms(&at, &zone_ms) || *at != '\0')
		return RC_PROTO;
	day = tm.tm_mday;
	if (tm.tm_sec == 60)
		tm.tm_sec = 59; /* POSIX time has no leap seconds */
	seconds = timegm(&tm);
	/* timegm turns 30 February into 2 March. */
	if (tm.tm_mday != day)
		return RC_PROTO;
	*wall_ms = (int64_t)seconds * 1000 + fraction_ms - zone_ms;
	return RC_OK;
}
