#include <stdio.h>

int main(void)
{
	(void)printf("longarm-server %s\n", LONGARM_VERSION);
	return 0;
}
