// Text: its generation by stdio, and the rows that the shell runs.
#define _GNU_SOURCE
#include "workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const WORDS[] = {
    "the",     "quick", "virtual", "machine", "page", "fault", "kernel", "interrupt", "register",
    "table",   "memory", "browser", "of",     "and",  "to",    "a",      "in",        "disk",
    "block",   "sector", "network", "packet", "cache", "module", "thread", "worker",
};

enum { WORD_COUNT = sizeof WORDS / sizeof WORDS[0] };

// Writes at least `mib` of words, with numbers and line ends among them.
void run_gen(long mib, const char *path) {
  FILE *file = fopen(path, "w");
  if (!file) {
    perror(path);
    exit(1);
  }
  long written = 0;
  while (written < mib << 20) {
    uint32_t random = next_random();
    const char *word = WORDS[random % WORD_COUNT];
    written += fprintf(file, "%s%c", word, (random >> 8) % 11 == 0 ? '\n' : ' ');
    if ((random >> 12) % 7 == 0) written += fprintf(file, "%u ", next_random() % 100000);
  }
  fclose(file);
  sprintf(result, "%ld", written);
}

// Runs a command; the result is the first word of its output.
void run_shell(const char *command) {
  FILE *output = popen(command, "r");
  if (!output || !fgets(result, 200, output)) strcpy(result, "FAIL");
  if (output) pclose(output);
  result[strcspn(result, " \n")] = 0;
}
