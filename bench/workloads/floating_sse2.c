#define UNIT(name) sse2_##name
#include "floating.inc"
