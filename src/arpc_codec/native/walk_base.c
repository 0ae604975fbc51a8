/* The walk for every processor. */
#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define VECTORS_128
#endif
#define WALK walk_base
#include "walk.h"
