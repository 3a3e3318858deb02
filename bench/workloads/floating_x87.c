#define UNIT(name) x87_##name
#include "floating.h"
