#define UNIT(name) sse2_##name
#include "floating.h"
