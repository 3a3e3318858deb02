// workloads NAME            runs one workload and prints: BENCH <arch> <name> <seconds> <checksum>
// workloads gen MIB FILE    writes that much text
// workloads sh NAME COMMAND runs a shell command; the checksum is the first word it prints
//
// SCALE in the environment multiplies the amount of work of the first form.
#define _GNU_SOURCE
#include "workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __x86_64__
#define ARCH "amd64"
#else
#define ARCH "i386"
#endif

char result[RESULT_SIZE];
const char *self_path;

typedef struct {
  const char *name;
  void (*run)(long amount);
  // Amount of work at SCALE=1, in the unit that the function names.
  long amount;
} Workload;

static const Workload WORKLOADS[] = {
    {"sieve", run_sieve, 16000000},
    {"crc32", run_crc32, 64},
    {"sha256", run_sha256, 64},
    {"memcpy", run_memcpy, 2048},
    {"chase", run_chase, 4000000},
    {"nbody-x87", x87_nbody, 1000000},
    {"nbody-sse2", sse2_nbody, 1000000},
    {"mandel-x87", x87_mandel, 1000},
    {"mandel-sse2", sse2_mandel, 1000},
    {"interp", run_interp, 3000000},
    {"qsort", run_qsort, 1000000},
    {"getpid", run_getpid, 1000000},
    {"fork", run_fork, 1000},
    {"forkexec", run_forkexec, 500},
    {"pagefault", run_pagefault, 50},
    {"pipe", run_pipe, 50000},
};

enum { WORKLOAD_COUNT = sizeof WORKLOADS / sizeof WORKLOADS[0] };

double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

// The program may have been found by PATH, and its name says nothing then.
static const char *own_path(void) {
  static char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  return length > 0 ? path : "/bin/workloads";
}

static int usage(void) {
  fprintf(stderr, "usage: workloads NAME | gen MIB FILE | sh NAME COMMAND\nnames:");
  for (int i = 0; i < WORKLOAD_COUNT; i++) fprintf(stderr, " %s", WORKLOADS[i].name);
  fprintf(stderr, "\n");
  return 1;
}

static const Workload *find_workload(const char *name) {
  for (int i = 0; i < WORKLOAD_COUNT; i++) {
    if (!strcmp(WORKLOADS[i].name, name)) return &WORKLOADS[i];
  }
  return NULL;
}

int main(int count, char **arguments) {
  const char *name = count > 1 ? arguments[1] : "";
  // What forkexec executes.
  if (!strcmp(name, "nop")) return CHILD_OK;

  self_path = own_path();
  const char *scale_text = getenv("SCALE");
  double scale = scale_text ? atof(scale_text) : 1;
  const Workload *workload = find_workload(name);

  double start = now();
  if (workload) {
    long amount = (long)(workload->amount * scale);
    workload->run(amount < 1 ? 1 : amount);
  } else if (!strcmp(name, "gen") && count == 4) {
    run_gen(atol(arguments[2]), arguments[3]);
  } else if (!strcmp(name, "sh") && count == 4) {
    name = arguments[2];
    run_shell(arguments[3]);
  } else {
    return usage();
  }
  double end = now();
  printf("BENCH " ARCH " %s %.3f %s\n", name, end - start, result);
  return 0;
}
