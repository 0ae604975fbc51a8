/* The walk with vectors of 256 bits, where the compiler can be told so; see module.c for when it is used. */
#include "versions.h"
#ifdef VERSIONS
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif
#define VECTORS_256
#define WALK walk_avx2
#include "walk.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
