/* What all parts share: blocks of rows, exact rounding, checked indices.

   A step of the wavefront is computed in blocks of LANES rows. Loops over lanes have a constant length and no branches,
   so any compiler makes vector operations of them; lanes beyond the last row compute something harmless. Every float
   operation is the one that numpy does in its place, in the same order, and nothing is contracted (setup.py). */
#ifndef ARPC_COMMON_H
#define ARPC_COMMON_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__FAST_MATH__) || defined(_M_FP_FAST)
#error "float operations may be reordered here: numpy does the work"
#endif
/* MSVC contracted by default before Visual Studio 2022. */
#if defined(_MSC_VER) && !defined(__clang__)
#pragma fp_contract(off)
#endif
#if FLT_EVAL_METHOD != 0
#error "float operations are not rounded one by one here: numpy does the work"
#endif

#define LANES 16
/* GCC would unroll these loops before it looks for vectors, and then find none. */
#if defined(__GNUC__) && !defined(__clang__)
#define EACH_LANE _Pragma("GCC unroll 1") for (int l = 0; l < LANES; l++)
#else
#define EACH_LANE for (int l = 0; l < LANES; l++)
#endif

/* An index that must be below a size. Debug builds (ARPC_CHECKS) stop where it is not. */
#ifdef ARPC_CHECKS
#include <stdio.h>
#include <stdlib.h>
static inline ptrdiff_t checked_index(ptrdiff_t index, ptrdiff_t size, const char *file, int line)
{
    if (index < 0 || index >= size) {
        fprintf(stderr, "%s:%d: index %td of %td\n", file, line, index, size);
        abort();
    }
    return index;
}
#define AT(index, size) checked_index((ptrdiff_t)(index), (ptrdiff_t)(size), __FILE__, __LINE__)
#else
#define AT(index, size) (index)
#endif

/* What will be read soon: strides from quantity to quantity are too long for processors to see them coming. */
#if defined(__GNUC__)
#define SOON(address) __builtin_prefetch(address)
#else
#define SOON(address) ((void)0)
#endif
enum { AHEAD = 8 };

static inline int smaller(int a, int b) { return a < b ? a : b; }
static inline int larger(int a, int b) { return a > b ? a : b; }

/* Held inside low..high; not a number becomes low, so that what follows is defined for damaged streams, too. */
static inline double held(double x, double low, double high)
{
    x = x > low ? x : low;
    return x < high ? x : high;
}

static inline int32_t held_int(int32_t x, int32_t low, int32_t high)
{
    x = x > low ? x : low;
    return x < high ? x : high;
}

/* Nearest integer, half to even, of |x| <= 2^51, without a library. */
static inline double nearest(double x)
{
#if defined(VECTORS_256) || defined(VECTORS_512)
    return __builtin_rint(x);
#else
    const double shift = 6755399441055744.0; /* 1.5 * 2^52 */
    return x + shift - shift;
#endif
}

/* The largest integer not above |x| <= 2^51. */
static inline double below(double x)
{
#if defined(VECTORS_256) || defined(VECTORS_512)
    return __builtin_floor(x);
#else
    double near = nearest(x);
    return near - (near > x ? 1.0 : 0.0);
#endif
}

/* Nearest multiple of 1 / unit inside +-limit, times unit. limit * unit is an integer, so holding first is the same. */
static inline double snapped(double x, double unit, double limit)
{
    return nearest(held(x * unit, -limit * unit, limit * unit));
}

/* x / 2^bits to the nearest integer, half to even. */
static inline int32_t shifted(int32_t x, int bits)
{
    return (x + (1 << (bits - 1)) - 1 + ((x >> bits) & 1)) >> bits;
}

#endif
