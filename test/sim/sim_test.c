/*
 * 2,000 stories of a whole installation, each from its seed (sim.h), and for
 * each safeguard that is switched off a story that goes wrong.
 *
 *     SEED=n          tell this one
 *     SIM_SEEDS=n     so many; SIM_FIRST=n: from this one on
 *     SIM_MUTANT=x    with this safeguard off
 */
#include "test/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS        2000
#define MUTANT_SEEDS 3000

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static enum mutant mutant_of(const char *name)
{
	for (int i = 0; name != NULL && i < MUTANT_COUNT; i++) {
		if (strcmp(name, mutant_name((enum mutant)i)) == 0)
			return (enum mutant)i;
	}
	if (name != NULL)
		fail_msg("SIM_MUTANT=%s: there is none of this name", name);
	return MUTANT_NONE;
}

static void add(struct sim_outcome *sum, const struct sim_outcome *one)
{
	sum->events += one->events;
	sum->scripts += one->scripts;
	sum->crashes += one->crashes;
	sum->commits += one->commits;
	sum->decisions += one->decisions;
	sum->unknowns += one->unknowns;
	sum->attempts += one->attempts;
	sum->lost_messages += one->lost_messages;
}

/* Told at once, so that it can be played again. */
static bool play(uint64_t seed, enum mutant mutant, struct sim_outcome *sum)
{
	const struct sim_options options = {
		.seed = seed, .mutant = mutant, .tell = getenv("SEED") != NULL
	};
	struct sim_outcome one;

	sim_run(&options, &one);
	add(sum, &one);
	if (one.broken && (mutant == MUTANT_NONE || options.tell))
		(void)fprintf(stderr,
		    "seed %llu%s%s: %s\nplay it: SEED=%llu%s%s\n",
		    (unsigned long long)seed,
		    mutant != MUTANT_NONE ? " without " : "",
		    mutant != MUTANT_NONE ? mutant_name(mutant) : "", one.text,
		    (unsigned long long)seed,
		    mutant != MUTANT_NONE ? " SIM_MUTANT=" : "",
		    mutant != MUTANT_NONE ? mutant_name(mutant) : "");
	return !one.broken;
}

static void test_no_promise_is_broken_from_any_seed(void **state)
{
	enum mutant mutant = mutant_of(getenv("SIM_MUTANT"));
	uint64_t first = number("SIM_FIRST", 1);
	uint64_t count = number("SIM_SEEDS", SEEDS), broken = 0;
	struct sim_outcome sum = { .broken = false };

	(void)state;
	if (getenv("SEED") != NULL) {
		first = number("SEED", 1);
		count = 1;
	}
	for (uint64_t i = 0; i < count; i++)
		broken += play(first + i, mutant, &sum) ? 0 : 1;
	(void)printf("%llu seeds: %llu events, %llu scripts, %llu crashes, "
		     "%llu lost messages, %llu commits, %llu rows of later "
		     "attempts, %llu decisions, %llu unknown; %llu broken\n",
	    (unsigned long long)count, (unsigned long long)sum.events,
	    (unsigned long long)sum.scripts, (unsigned long long)sum.crashes,
	    (unsigned long long)sum.lost_messages,
	    (unsigned long long)sum.commits, (unsigned long long)sum.attempts,
	    (unsigned long long)sum.decisions, (unsigned long long)sum.unknowns,
	    (unsigned long long)broken);
	assert_int_equal(broken, 0);
	if (count < 200)
		return;
	/* Stories in which nothing happens would show nothing. */
	assert_true(sum.scripts > 2 * count);
	assert_true(sum.crashes > count);
	assert_true(sum.lost_messages > count);
	assert_true(sum.decisions > count / 2);
	assert_true(sum.attempts > count / 2);
	assert_true(sum.unknowns > count / 50);
}

static void test_each_safeguard_is_missed_when_it_is_off(void **state)
{
	(void)state;
	if (getenv("SEED") != NULL || getenv("SIM_MUTANT") != NULL)
		return;
	for (int m = MUTANT_NONE + 1; m < MUTANT_COUNT; m++) {
		struct sim_outcome sum = { .broken = false };
		uint64_t seed = 1;

		while (seed <= MUTANT_SEEDS && play(seed, (enum mutant)m, &sum))
			seed++;
		(void)printf("%s: missed from seed %llu on\n",
		    mutant_name((enum mutant)m), (unsigned long long)seed);
		if (seed > MUTANT_SEEDS)
			fail_msg("%s: nobody misses it in %d seeds",
			    mutant_name((enum mutant)m), MUTANT_SEEDS);
	}
}

static void test_the_same_seed_plays_the_same_story(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		const struct sim_options options = { .seed = seed };
		struct sim_outcome one, two;

		memset(&one, 0, sizeof(one));
		memset(&two, 0, sizeof(two));
		sim_run(&options, &one);
		sim_run(&options, &two);
		assert_memory_equal(&one, &two, sizeof(one));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_promise_is_broken_from_any_seed),
		cmocka_unit_test(test_each_safeguard_is_missed_when_it_is_off),
		cmocka_unit_test(test_the_same_seed_plays_the_same_story),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
