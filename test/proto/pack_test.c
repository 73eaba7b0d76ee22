#include "proto/pack.h"
#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_a_buffer_grows_to_its_limit_and_no_further(void **state)
{
	struct packbuf b;

	(void)state;
	packbuf_init(&b, 1000);
	for (int i = 0; i < 1000; i++)
		packbuf_append(&b, bytes_text("x"));
	assert_int_equal(packbuf_rc(&b), RC_OK);
	assert_true(b.capacity <= 1000);
	packbuf_append(&b, bytes_text("x"));
	assert_int_equal(packbuf_rc(&b), RC_LIMIT);
	assert_int_equal(packbuf_bytes(&b).len, 1000);
	packbuf_clear(&b);
	packbuf_append(&b, bytes_text("y"));
	assert_int_equal(packbuf_rc(&b), RC_OK);
	assert_int_equal(packbuf_bytes(&b).len, 1);
	packbuf_fini(&b);
	packbuf_fini(&b);
}

static void test_a_failed_allocation_sticks(void **state)
{
	struct packbuf b;

	(void)state;
	packbuf_init(&b, 1000);
	alloc_fail_at(0);
	pack_map(&b, 1);
	alloc_never_fail();
	pack_key(&b, "a");
	assert_int_equal(packbuf_rc(&b), RC_NOMEM);
	assert_int_equal(b.len, 0);
	packbuf_fini(&b);
}

static void test_each_type_is_read_as_it_was_written(void **state)
{
	struct pack_message *m;
	struct pack_value root, v, item;
	struct packbuf b;

	(void)state;
	packbuf_init(&b, 1000);
	pack_map(&b, 1);
	pack_key(&b, "list");
	pack_array(&b, 8);
	pack_u64(&b, UINT64_MAX);
	pack_i64(&b, INT64_MIN);
	pack_i64(&b, 7);
	pack_bool(&b, true);
	pack_text(&b, bytes_text("text"));
	pack_bytes(&b, bytes_of("\0\1", 2));
	pack_map(&b, 0);
	packbuf_append(&b, bytes_of("\xc0", 1));
	assert_int_equal(packbuf_rc(&b), RC_OK);
	assert_int_equal(pack_open(packbuf_bytes(&b), &m, NULL), RC_OK);
	root = pack_root(m);
	assert_false(pack_find(&root, "lis", &v));
	assert_true(pack_find(&root, "list", &v));
	assert_int_equal(v.type, PACK_ARRAY);
	assert_int_equal(v.count, 8);
	item = pack_item(&v, 0);
	assert_int_equal(item.type, PACK_UINT);
	assert_true(item.number == UINT64_MAX);
	item = pack_item(&v, 1);
	assert_int_equal(item.type, PACK_INT);
	assert_true(item.negative == INT64_MIN);
	item = pack_item(&v, 2);
	assert_int_equal(item.type, PACK_UINT);
	item = pack_item(&v, 3);
	assert_true(item.type == PACK_BOOL && item.flag);
	item = pack_item(&v, 4);
	assert_int_equal(item.type, PACK_TEXT);
	assert_true(bytes_equal(item.bytes, bytes_text("text")));
	item = pack_item(&v, 5);
	assert_int_equal(item.type, PACK_BYTES);
	assert_true(bytes_equal(item.bytes, bytes_of("\0\1", 2)));
	assert_true(item.bytes.p > b.data && item.bytes.p < b.data + b.len);
	item = pack_item(&v, 6);
	assert_int_equal(item.type, PACK_MAP);
	item = pack_item(&v, 7);
	assert_int_equal(item.type, PACK_NIL);
	pack_close(m);
	packbuf_fini(&b);
}

static void test_asking_for_what_is_not_there_gives_nil(void **state)
{
	struct pack_message *m;
	struct pack_value root, v;
	struct bytes key;

	(void)state;
	assert_int_equal(pack_open(bytes_of("\x80", 1), &m, NULL), RC_OK);
	root = pack_root(m);
	v = pack_item(&root, 0);
	assert_int_equal(v.type, PACK_NIL);
	pack_pair(&root, 0, &key, &v);
	assert_int_equal(key.len, 0);
	assert_int_equal(v.type, PACK_NIL);
	assert_false(pack_find(&v, "x", &v));
	pack_close(m);
	pack_close(NULL);
}

static void test_no_memory_to_open_is_reported(void **state)
{
	struct pack_message *m = NULL;

	(void)state;
	alloc_fail_at(0);
	assert_int_equal(pack_open(bytes_of("\x80", 1), &m, NULL), RC_NOMEM);
	alloc_never_fail();
	assert_null(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_a_buffer_grows_to_its_limit_and_no_further),
		cmocka_unit_test(test_a_failed_allocation_sticks),
		cmocka_unit_test(test_each_type_is_read_as_it_was_written),
		cmocka_unit_test(test_asking_for_what_is_not_there_gives_nil),
		cmocka_unit_test(test_no_memory_to_open_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
