#include <stddef.h>
#include <hiredis/read.h>
