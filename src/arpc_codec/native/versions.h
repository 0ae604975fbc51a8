/* Whether the walk is compiled for other instruction sets, too. */
#if defined(__GNUC__) && defined(__x86_64__)
#define VERSIONS
#endif
