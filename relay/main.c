#include <stdio.h>

int main(void)
{
	(void)printf("longarm-relay %s\n", LONGARM_VERSION);
	return 0;
}
