/* All ways to a target, from what people have given. */
#include "server/fleet/expand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RELAYS_MAX 24

/* The relays of a test, each with its routes. */
struct net {
	struct {
		const char *name;
		struct fleet_route routes[EXPAND_MAX];
		size_t count;
	} relays[RELAYS_MAX];
	size_t count;
	unsigned asked;
	struct fleet_route out[EXPAND_MAX];
	size_t out_count;
};

static size_t parse(const char *text, struct fleet_route *out)
{
	char copy[512], *rest = copy, *word;
	size_t n = 0;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, " ")) != NULL) {
		char *equals = strchr(word, '=');

		out[n].endpoint[0] = '\0';
		if (equals != NULL) {
			*equals = '\0';
			(void)snprintf(out[n].endpoint, sizeof(out[n].endpoint),
			    "%s", equals + 1);
		}
		assert_int_equal(path_parse(word, &out[n].path, NULL), RC_OK);
		n++;
	}
	return n;
}

static void relay(struct net *net, const char *name, const char *routes)
{
	net->relays[net->count].name = name;
	net->relays[net->count].count =
	    parse(routes, net->relays[net->count].routes);
	net->count++;
}

static struct expand_given given_of(void *arg, const char *name)
{
	struct net *net = arg;

	net->asked++;
	for (size_t i = 0; i < net->count; i++) {
		if (strcmp(net->relays[i].name, name) == 0)
			return (struct expand_given){ net->relays[i].routes,
				net->relays[i].count };
	}
	return (struct expand_given){ .count = 0 };
}

/* The ways to what these routes were given for, as one line. */
static const char *ways(struct net *net, const char *given)
{
	static char line[4096];
	struct fleet_route routes[EXPAND_MAX];
	const struct expand how = { given_of, net };
	const struct expand_given g = { routes, parse(given, routes) };
	size_t len = 0;

	net->out_count = expand_routes(&how, &g, net->out);
	line[0] = '\0';
	for (size_t i = 0; i < net->out_count; i++) {
		char path[PATH_SIZE];

		path_format(&net->out[i].path, path);
		len += (size_t)snprintf(line + len, sizeof(line) - len,
		    "%s%s%s%s", i > 0 ? " " : "", path,
		    net->out[i].endpoint[0] != '\0' ? "=" : "",
		    net->out[i].endpoint);
	}
	return line;
}

static void two_ways_to_c(struct net *net)
{
	*net = (struct net){ .count = 0 };
	relay(net, "a", "direct");
	relay(net, "b", "direct");
	relay(net, "c", "a b");
}

static void test_a_route_is_what_was_given_where_relays_have_one_way(
    void **state)
{
	struct net net = { .count = 0 };

	(void)state;
	relay(&net, "a", "direct");
	relay(&net, "c", "a");
	assert_string_equal(ways(&net, "direct"), "direct");
	assert_string_equal(ways(&net, "a"), "a");
	assert_string_equal(ways(&net, "a/c"), "a/c");
	assert_string_equal(ways(&net, "nowhere"), "nowhere");
}

static void test_the_other_ways_to_the_last_relay_follow(void **state)
{
	struct net net;

	(void)state;
	two_ways_to_c(&net);
	assert_string_equal(ways(&net, "a/c"), "a/c b/c");
	assert_string_equal(ways(&net, "b/c"), "b/c a/c");
	assert_string_equal(ways(&net, "a/c direct"), "a/c b/c direct");
}

static void test_a_relay_alone_means_by_all_its_ways_in_its_order(void **state)
{
	struct net net;

	(void)state;
	two_ways_to_c(&net);
	assert_string_equal(ways(&net, "c"), "a/c b/c");
	/* One that can be reached directly is. */
	relay(&net, "d", "a direct");
	assert_string_equal(ways(&net, "d"), "d a/d");
}

static void test_what_was_given_keeps_its_place(void **state)
{
	struct net net;

	(void)state;
	two_ways_to_c(&net);
	relay(&net, "d", "direct");
	assert_string_equal(ways(&net, "a/c d b/c"), "a/c d b/c");
}

static void test_who_dials_is_the_last_hops_affair(void **state)
{
	struct net net;

	(void)state;
	two_ways_to_c(&net);
	assert_string_equal(
	    ways(&net, "a/c=10.0.0.3:1"), "a/c=10.0.0.3:1 b/c=10.0.0.3:1");
	assert_string_equal(ways(&net, "c=10.0.0.3:1 direct"),
	    "a/c=10.0.0.3:1 b/c=10.0.0.3:1 direct");
}

static void test_ways_multiply_along_a_chain(void **state)
{
	struct net net;

	(void)state;
	two_ways_to_c(&net);
	relay(&net, "d", "a/c");
	relay(&net, "e", "d c");
	assert_string_equal(ways(&net, "d"), "a/c/d b/c/d");
	assert_string_equal(ways(&net, "e"), "a/c/d/e b/c/d/e a/c/e b/c/e");
}

static void test_there_are_never_more_than_eight_and_all_given_are_among_them(
    void **state)
{
	struct net net = { .count = 0 };

	(void)state;
	relay(&net, "a", "direct");
	relay(&net, "b", "direct");
	relay(&net, "c", "direct");
	relay(&net, "x", "a b c");
	relay(&net, "y", "a/x b/x c/x");
	relay(&net, "z", "a/x/y b a c");
	assert_string_equal(ways(&net, "a/z c direct"),
	    "a/z a/x/y/z b/x/y/z c/x/y/z b/z c/z c direct");
	assert_string_equal(ways(&net, "a b c x y a/z b/z direct"),
	    "a b c a/x a/x/y a/z b/z direct");
}

static void test_a_circle_or_a_path_too_long_is_left_out(void **state)
{
	struct net net = { .count = 0 };

	(void)state;
	relay(&net, "a", "direct c");
	relay(&net, "b", "a");
	relay(&net, "c", "b");
	assert_string_equal(ways(&net, "a/b/c"), "a/b/c");
	net = (struct net){ .count = 0 };
	relay(&net, "a", "direct");
	relay(&net, "b", "a/r1/r2/r3/r4/r5/r6/r7 a");
	assert_string_equal(ways(&net, "b"), "a/b");
}

static void test_a_net_of_any_shape_ends_soon(void **state)
{
	struct net net = { .count = 0 };

	(void)state;
	/* Each by each: who follows all of it would never end. */
	relay(&net, "a", "b c d e f g h");
	relay(&net, "b", "a c d e f g h");
	relay(&net, "c", "a b d e f g h");
	relay(&net, "d", "a b c e f g h");
	relay(&net, "e", "a b c d f g h");
	relay(&net, "f", "a b c d e g h");
	relay(&net, "g", "a b c d e f h");
	relay(&net, "h", "a b c d e f g");
	(void)ways(&net, "a");
	assert_true(net.asked < 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_a_route_is_what_was_given_where_relays_have_one_way),
		cmocka_unit_test(test_the_other_ways_to_the_last_relay_follow),
		cmocka_unit_test(
		    test_a_relay_alone_means_by_all_its_ways_in_its_order),
		cmocka_unit_test(test_what_was_given_keeps_its_place),
		cmocka_unit_test(test_who_dials_is_the_last_hops_affair),
		cmocka_unit_test(test_ways_multiply_along_a_chain),
		cmocka_unit_test(
		    test_there_are_never_more_than_eight_and_all_given_are_among_them),
		cmocka_unit_test(test_a_circle_or_a_path_too_long_is_left_out),
		cmocka_unit_test(test_a_net_of_any_shape_ends_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
