// Workloads of the kernel: system calls, processes, page faults, context switches.
#define _GNU_SOURCE
#include "workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void run_getpid(long calls) {
  uint32_t right = 0;
  pid_t me = getpid();
  for (long i = 0; i < calls; i++) right += syscall(SYS_getpid) == me;
  sprintf(result, "%u", right);
}

// Waits for a child; 1 if it ended as it should.
static int child_succeeded(pid_t child) {
  int status;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == CHILD_OK;
}

void run_fork(long children) {
  int succeeded = 0;
  for (long i = 0; i < children; i++) {
    pid_t child = fork();
    if (!child) _exit(CHILD_OK);
    succeeded += child_succeeded(child);
  }
  sprintf(result, "%d", succeeded);
}

void run_forkexec(long children) {
  int succeeded = 0;
  for (long i = 0; i < children; i++) {
    pid_t child = fork();
    if (!child) {
      execl(self_path, self_path, "nop", (char *)0);
      _exit(9);
    }
    succeeded += child_succeeded(child);
  }
  sprintf(result, "%d", succeeded);
}

// Maps 4 MiB, touches each page and unmaps them.
void run_pagefault(long rounds) {
  size_t size = 4 * MIB;
  uint32_t hash = 0;
  for (long i = 0; i < rounds; i++) {
    uint8_t *pages = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t at = 0; at < size; at += 4096) {
      pages[at] = at >> 12;
      hash += pages[at] + pages[at + 1];
    }
    munmap(pages, size);
  }
  sprintf(result, "%08x/%ldfaults", hash, rounds * 1024);
}

// The child's half of run_pipe: sends each byte back changed.
static void answer(int from, int to) {
  uint8_t byte;
  while (read(from, &byte, 1) == 1) {
    byte = byte * 5 + 1;
    if (write(to, &byte, 1) != 1) break;
  }
}

// Sends a byte to another process and back, again and again.
void run_pipe(long trips) {
  int there[2], back[2];
  if (pipe(there) || pipe(back)) exit(1);
  pid_t child = fork();
  if (!child) {
    close(there[1]);
    close(back[0]);
    answer(there[0], back[1]);
    _exit(0);
  }
  close(there[0]);
  close(back[1]);
  uint32_t hash = 0;
  uint8_t byte = 1;
  for (long i = 0; i < trips; i++) {
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) {
      hash = 0xbad;
      break;
    }
    hash = hash * 31 + byte;
  }
  close(there[1]);
  waitpid(child, 0, 0);
  sprintf(result, "%08x", hash);
}
