/*
 * Runs instruction cases on the host's own processor, in user mode, and reports what they did.
 *
 * The whole run lives in one signal handler on its own stack: a case ends in a fault (its own exception, or #GP from
 * the HLT that follows it), the handler records the interrupted context, puts the next case's registers into the
 * same context and returns into it. A case may say where to go on after a fault at a given address; the state at each such
 * stop is part of its result. stdin holds the cases, stdout gets the results, both little endian records as
 * native.ts writes and reads them. Built twice, with -m32 and -m64.
 *
 * Invariant: no case may reach this program's own memory; the generator chooses addresses inside the regions below.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define DATA_BASE 0x10000000ul
#define DATA_SIZE 0x4000ul
#define READONLY_BASE 0x10008000ul
#define LOW_BASE 0x8000ul
#define LOW_SIZE 0x2000ul
#define CODE_BASE 0x20000000ul
#define CODE_SIZE 0x4000ul
#define LOW_REGION 1

struct registers {
  uint64_t gpr[16];
  uint64_t flags;
  uint8_t fx[512];
} __attribute__((packed));

struct request {
  uint64_t code_address;
  uint32_t code_length;
  uint32_t window_count;
  uint32_t resume_count;
  uint32_t stop_limit; /* most stops, with the last one */
  struct registers registers;
  /* then code_length bytes, window_count times { u64 address, u32 length, bytes }, resume_count times struct resume */
} __attribute__((packed));

/* After a stop with the instruction pointer at `from` the case goes on at `to`. */
struct resume {
  uint32_t from;
  uint32_t to;
} __attribute__((packed));

/* A result is a u32 count of stops, the stops, a u32 count of changes, and so many { u64 address, u32 length, bytes }. */
struct stop {
  uint32_t trap;
  uint32_t error;
  uint64_t cr2;
  uint64_t rip;
  uint32_t memory; /* hash of the data and code regions */
  struct registers registers;
} __attribute__((packed));

static uint8_t *input, *cursor, *input_end;
static uint8_t *output;
static size_t output_used, output_capacity;
static struct request *current;
static uint32_t current_index;
static struct resume *resumes;
static uint32_t stop_count;
static size_t result_at;

static const struct {
  uintptr_t base;
  size_t size;
} regions[] = {{DATA_BASE, DATA_SIZE}, {LOW_BASE, LOW_SIZE}, {CODE_BASE, CODE_SIZE}};
#define REGION_COUNT (sizeof regions / sizeof regions[0])
static uint8_t *shadow[REGION_COUNT];

static void fail(const char *text) {
  char line[160];
  int n = snprintf(line, sizeof line, "harness: case %u: %s\n", current_index, text);
  if (write(2, line, n) < 0) _exit(3);
  _exit(2);
}

static void emit(const void *data, size_t length) {
  if (output_used + length > output_capacity) {
    size_t capacity = output_capacity * 2 + length;
    uint8_t *grown = mmap(0, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (grown == MAP_FAILED) fail("out of memory");
    memcpy(grown, output, output_used);
    munmap(output, output_capacity);
    output = grown;
    output_capacity = capacity;
  }
  memcpy(output + output_used, data, length);
  output_used += length;
}

#ifdef __x86_64__
static const int gpr_index[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
#define GPR_COUNT 16
#define FLAGS_INDEX REG_EFL
#define IP_INDEX REG_RIP
static uint8_t *fx_image(ucontext_t *uc) { return (uint8_t *)uc->uc_mcontext.fpregs; }
static uint64_t fault_address(ucontext_t *uc) { return uc->uc_mcontext.gregs[REG_CR2]; }
static void sync_legacy(ucontext_t *uc) { (void)uc; }
#else
static const int gpr_index[8] = {REG_EAX, REG_ECX, REG_EDX, REG_EBX, REG_ESP, REG_EBP, REG_ESI, REG_EDI};
#define GPR_COUNT 8
#define FLAGS_INDEX REG_EFL
#define IP_INDEX REG_EIP
#define LEGACY_FRAME 112
static uint8_t *fx_image(ucontext_t *uc) { return (uint8_t *)uc->uc_mcontext.fpregs + LEGACY_FRAME; }
static uint64_t fault_address(ucontext_t *uc) { return (uint32_t)uc->uc_mcontext.cr2; }
/* The kernel takes the x87 part of a 32-bit frame from the old FSAVE image, the rest from the FXSAVE image. */
static void sync_legacy(ucontext_t *uc) {
  uint8_t *frame = (uint8_t *)uc->uc_mcontext.fpregs, *fx = frame + LEGACY_FRAME;
  uint32_t words[7] = {0};
  words[0] = 0xffff0000u | fx[0] | fx[1] << 8;
  words[1] = 0xffff0000u | fx[2] | fx[3] << 8;
  uint32_t tags = 0;
  for (int i = 0; i < 8; i++)
    if (!(fx[4] >> i & 1)) tags |= 3u << (i * 2);
  words[2] = 0xffff0000u | tags;
  memcpy(frame, words, sizeof words);
  for (int i = 0; i < 8; i++) memcpy(frame + 28 + i * 10, fx + 32 + i * 16, 10);
}
#endif

/* As hashMemory of programs/machine.ts. */
static uint32_t hash_memory(void) {
  uint32_t hash = 0x811c9dc5u;
  for (unsigned g = 0; g < REGION_COUNT; g++) {
    if (g == LOW_REGION) continue;
    const uint32_t *words = (const uint32_t *)regions[g].base;
    for (size_t i = 0; i < regions[g].size / 4; i++) hash = ((hash << 5 | hash >> 27) ^ words[i]) * 0x01000193u;
  }
  return hash;
}

static void record_stop(ucontext_t *uc) {
  struct stop s;
  memset(&s, 0, sizeof s);
  s.trap = uc->uc_mcontext.gregs[REG_TRAPNO];
  s.error = uc->uc_mcontext.gregs[REG_ERR];
  s.cr2 = fault_address(uc);
  s.rip = (uintptr_t)uc->uc_mcontext.gregs[IP_INDEX];
  s.memory = hash_memory();
  for (int i = 0; i < GPR_COUNT; i++) s.registers.gpr[i] = (uintptr_t)uc->uc_mcontext.gregs[gpr_index[i]];
  s.registers.flags = (uint32_t)uc->uc_mcontext.gregs[FLAGS_INDEX] & ~0x10000u; /* RF belongs to the trap */
  memcpy(s.registers.fx, fx_image(uc), 512);
  emit(&s, sizeof s);
  stop_count++;
}

/* Sets the instruction pointer to where the case goes on; 0: it has ended. */
static int resume(ucontext_t *uc) {
  if (stop_count >= current->stop_limit) return 0;
  uintptr_t at = (uintptr_t)uc->uc_mcontext.gregs[IP_INDEX];
  for (uint32_t i = 0; i < current->resume_count; i++)
    if (resumes[i].from == at) {
      uc->uc_mcontext.gregs[IP_INDEX] = resumes[i].to;
      return 1;
    }
  return 0;
}

static void record_changes(void) {
  memcpy(output + result_at, &stop_count, 4);
  size_t at = output_used;
  uint32_t changes = 0;
  emit(&changes, 4);
  for (unsigned g = 0; g < REGION_COUNT; g++) {
    uint8_t *now = (uint8_t *)regions[g].base, *before = shadow[g];
    size_t size = regions[g].size;
    if (!memcmp(now, before, size)) continue;
    for (size_t i = 0; i < size; i += 8) {
      if (!memcmp(now + i, before + i, 8)) continue;
      size_t end = i + 8;
      while (end < size && memcmp(now + end, before + end, 8)) end += 8;
      uint64_t address = regions[g].base + i;
      uint32_t length = end - i;
      emit(&address, 8);
      emit(&length, 4);
      emit(now + i, length);
      changes++;
      i = end;
    }
  }
  memcpy(output + at, &changes, 4);
}

static void finish(void) {
  size_t done = 0;
  while (done < output_used) {
    ssize_t n = write(1, output + done, output_used - done);
    if (n <= 0) _exit(3);
    done += n;
  }
  _exit(0);
}

static void load(ucontext_t *uc) {
  if (cursor == input_end) finish();
  current = (struct request *)cursor;
  cursor += sizeof *current;
  for (unsigned g = 0; g < REGION_COUNT; g++) memset(shadow[g], regions[g].base == CODE_BASE ? 0xf4 : 0, regions[g].size);
  memcpy(shadow[2] + (current->code_address - CODE_BASE), cursor, current->code_length);
  cursor += current->code_length;
  for (uint32_t i = 0; i < current->window_count; i++) {
    uint64_t address;
    uint32_t length;
    memcpy(&address, cursor, 8);
    memcpy(&length, cursor + 8, 4);
    cursor += 12;
    int placed = 0;
    for (unsigned g = 0; g < REGION_COUNT; g++)
      if (address >= regions[g].base && address + length <= regions[g].base + regions[g].size) {
        memcpy(shadow[g] + (address - regions[g].base), cursor, length);
        placed = 1;
      }
    if (!placed) fail("memory outside the regions");
    cursor += length;
  }
  resumes = (struct resume *)cursor;
  cursor += current->resume_count * sizeof *resumes;
  stop_count = 0;
  result_at = output_used;
  emit(&stop_count, 4);
  for (unsigned g = 0; g < REGION_COUNT; g++) memcpy((void *)regions[g].base, shadow[g], regions[g].size);
  for (int i = 0; i < GPR_COUNT; i++) uc->uc_mcontext.gregs[gpr_index[i]] = current->registers.gpr[i];
  uc->uc_mcontext.gregs[FLAGS_INDEX] = current->registers.flags;
  uc->uc_mcontext.gregs[IP_INDEX] = current->code_address;
  uint8_t *fx = fx_image(uc);
  uint8_t mask[4];
  memcpy(mask, fx + 28, 4);
  memcpy(fx, current->registers.fx, 160 + 16 * GPR_COUNT); /* the rest holds the kernel's own marks */
  memcpy(fx + 28, mask, 4);
  sync_legacy(uc);
}

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)info;
  /* A case may have left EFLAGS.AC set, and library functions access what is not aligned. */
#ifdef __x86_64__
  __asm__ volatile("sub $128, %%rsp\n pushfq\n andl $~0x40000, (%%rsp)\n popfq\n add $128, %%rsp" ::: "memory", "cc");
#else
  __asm__ volatile("pushfl\n andl $~0x40000, (%%esp)\n popfl" ::: "memory", "cc");
#endif
  if (number == SIGALRM) fail("runs for too long");
  if (current) {
    record_stop(context);
    if (resume(context)) return;
    record_changes();
    current_index++;
  }
  load(context);
}

static void map(uintptr_t base, size_t size, int protection) {
  void *at = mmap((void *)base, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (at != (void *)base) {
    perror("harness: cannot map a fixed region");
    exit(2);
  }
}

int main(void) {
  map(DATA_BASE, DATA_SIZE, PROT_READ | PROT_WRITE);
  map(READONLY_BASE, 0x1000, PROT_READ);
  (void)*(volatile uint8_t *)READONLY_BASE; /* a page that was never read isn't present, and faults say so */
  map(LOW_BASE, LOW_SIZE, PROT_READ | PROT_WRITE);
  map(CODE_BASE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
  for (unsigned g = 0; g < REGION_COUNT; g++) shadow[g] = malloc(regions[g].size);

  size_t capacity = 1 << 20, used = 0;
  input = malloc(capacity);
  for (;;) {
    if (used == capacity) input = realloc(input, capacity *= 2);
    ssize_t n = read(0, input + used, capacity - used);
    if (n < 0) return 2;
    if (n == 0) break;
    used += n;
  }
  cursor = input;
  input_end = input + used;

  stack_t stack = {.ss_sp = malloc(1 << 18), .ss_size = 1 << 18};
  sigaltstack(&stack, 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM};
  for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) sigaction(numbers[i], &action, 0);
  alarm(120);
  __asm__ volatile("hlt");
  return 2;
}
