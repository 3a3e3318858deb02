// What the workloads share. Each is one function that does its work and leaves a checksum in `result`; it reads no clock
// but for `chase`, whose set-up would hide what it measures. The checksum is the same on every machine.
#ifndef WORKLOADS_H
#define WORKLOADS_H

#include <stdint.h>

#define MIB ((size_t)1 << 20)

enum { RESULT_SIZE = 256 };
extern char result[RESULT_SIZE];

// Path by which this program executes itself.
extern const char *self_path;

// Exit code of a child that did what it should.
enum { CHILD_OK = 7 };

// Seconds on the monotonic clock.
double now(void);

// Xorshift, the same sequence in each workload. A copy for each source file is intended: a workload runs in a process of
// its own and thus always starts at the seed.
static uint32_t random_state __attribute__((unused)) = 12345;

static inline uint32_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state;
}

// integer.c
void run_sieve(long limit);
void run_crc32(long mib);
void run_sha256(long mib);
void run_interp(long iterations);
void run_qsort(long count);

// memory.c
void run_memcpy(long mib);
void run_chase(long steps);

// floating.h, once for each unit
void x87_nbody(long steps);
void x87_mandel(long side);
void sse2_nbody(long steps);
void sse2_mandel(long side);

// system.c
void run_getpid(long calls);
void run_fork(long children);
void run_forkexec(long children);
void run_pagefault(long rounds);
void run_pipe(long trips);

// text.c
void run_gen(long mib, const char *path);
void run_shell(const char *command);

#endif
