#include "common/failpoint.h"

/* Nothing, and it stays so: test/scenario/crash_test.py looks at this object.
 */
void failpoint(const char *name)
{
	(void)name;
}
