/* The walk with vectors of 512 bits, where the compiler can be told so; see module.c for when it is used. */
#include "versions.h"
#ifdef VERSIONS
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#define VECTORS_512
#define WALK walk_avx512
#include "walk.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
