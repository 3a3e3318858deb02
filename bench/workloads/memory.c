// Workloads of memory bandwidth and latency.
#include "workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Copies pieces of 4 MiB there and back, `mib` in each direction; the way back ends at an odd address.
void run_memcpy(long mib) {
  size_t size = 4 * MIB;
  uint8_t *here = malloc(size), *there = malloc(size);
  for (size_t i = 0; i < size; i++) here[i] = next_random();
  long rounds = mib / 4;
  uint32_t hash = 0;
  for (long i = 0; i < rounds; i++) {
    // The compiler must not see that one copy undoes the other.
    memcpy(there, here, size);
    __asm__ volatile("" ::: "memory");
    memcpy(here + 1, there, size - 1);
    __asm__ volatile("" ::: "memory");
    hash = hash * 31 + here[(i * 4099) % size];
  }
  sprintf(result, "%08x", hash);
  free(here);
  free(there);
}

// Builds a random cycle over 16 MiB (Sattolo's shuffle) and follows it: each load waits for the one before.
void run_chase(long steps) {
  uint32_t count = 4 * MIB;
  uint32_t *next = malloc(count * sizeof *next);
  for (uint32_t i = 0; i < count; i++) next[i] = i;
  for (uint32_t i = count - 1; i > 0; i--) {
    uint32_t j = next_random() % i;
    uint32_t other = next[i];
    next[i] = next[j];
    next[j] = other;
  }
  double start = now();
  uint32_t at = 0;
  for (long i = 0; i < steps; i++) at = next[at];
  double end = now();
  sprintf(result, "%u(chase-only:%.3f)", at, end - start);
  free(next);
}
