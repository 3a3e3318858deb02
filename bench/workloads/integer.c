// Workloads of integer arithmetic, branches and byte-wise memory.
#include "workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Counts the primes up to `limit`, three times.
void run_sieve(long limit) {
  uint8_t *is_prime = malloc(limit + 1);
  uint32_t count = 0;
  for (int round = 0; round < 3; round++) {
    count = 0;
    memset(is_prime, 1, limit + 1);
    for (long i = 2; i * i <= limit; i++) {
      if (is_prime[i]) {
        for (long j = i * i; j <= limit; j += i) is_prime[j] = 0;
      }
    }
    for (long i = 2; i <= limit; i++) count += is_prime[i];
  }
  sprintf(result, "%u", count);
  free(is_prime);
}

static uint8_t *random_mebibyte(void) {
  uint8_t *bytes = malloc(MIB);
  for (size_t i = 0; i < MIB; i++) bytes[i] = next_random();
  return bytes;
}

// CRC-32 (IEEE 802.3, reflected) by a table of bytes.
void run_crc32(long mib) {
  static uint32_t table[256];
  for (int i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
    table[i] = crc;
  }
  uint8_t *bytes = random_mebibyte();
  uint32_t crc = ~0u;
  for (long round = 0; round < mib; round++) {
    for (size_t i = 0; i < MIB; i++) crc = table[(crc ^ bytes[i]) & 255] ^ (crc >> 8);
  }
  sprintf(result, "%08x", ~crc);
  free(bytes);
}

static const uint32_t SHA256_K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate_right(uint32_t value, int count) { return value >> count | value << (32 - count); }

// The compression function of SHA-256 (FIPS 180-4 §6.2.2).
static void sha256_block(uint32_t *hash, const uint8_t *block) {
  uint32_t w[64];
  for (int i = 0; i < 16; i++) {
    w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
  }
  for (int i = 16; i < 64; i++) {
    uint32_t s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ w[i - 15] >> 3;
    uint32_t s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + w[i - 7] + s0 + s1;
  }
  uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3];
  uint32_t e = hash[4], f = hash[5], g = hash[6], h = hash[7];
  for (int i = 0; i < 64; i++) {
    uint32_t s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + SHA256_K[i] + w[i];
    uint32_t s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  hash[0] += a;
  hash[1] += b;
  hash[2] += c;
  hash[3] += d;
  hash[4] += e;
  hash[5] += f;
  hash[6] += g;
  hash[7] += h;
}

void run_sha256(long mib) {
  uint32_t hash[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint8_t *bytes = random_mebibyte();
  for (long round = 0; round < mib; round++) {
    for (size_t i = 0; i < MIB; i += 64) sha256_block(hash, bytes + i);
  }
  sprintf(result, "%08x%08x", hash[0], hash[7]);
  free(bytes);
}

// A stack machine with eight variables. JZ, JMP, PUSH, LD and ST carry an operand in the next word.
enum { PUSH, ADD, SUB, MUL, XOR, LT, JZ, JMP, LD, ST, HALT, AND, SHR };

// for (i = 0, x = 1, sum = 0; i < iterations; i++) { x = x * 1103515245 + 12345; if (x >> 16 & 1) sum ^= x; }
static void assemble(int32_t *program, int32_t iterations) {
  enum { I, X, SUM };
  int at = 0;
#define EMIT(...)                                               \
  do {                                                          \
    const int32_t words[] = {__VA_ARGS__};                      \
    memcpy(program + at, words, sizeof words);                  \
    at += (int)(sizeof words / sizeof words[0]);                \
  } while (0)
  EMIT(PUSH, 0, ST, I, PUSH, 1, ST, X, PUSH, 0, ST, SUM);
  int loop = at;
  EMIT(LD, I, PUSH, iterations, LT, JZ, 0);
  int end_operand = at - 1;
  EMIT(LD, X, PUSH, 1103515245, MUL, PUSH, 12345, ADD, ST, X);
  EMIT(LD, X, PUSH, 16, SHR, PUSH, 1, AND, JZ, 0);
  int skip_operand = at - 1;
  EMIT(LD, SUM, LD, X, XOR, ST, SUM);
  program[skip_operand] = at;
  EMIT(LD, I, PUSH, 1, ADD, ST, I, JMP, loop);
  program[end_operand] = at;
  EMIT(HALT);
#undef EMIT
}

// A bytecode interpreter that dispatches by switch.
void run_interp(long iterations) {
  int32_t program[64];
  assemble(program, (int32_t)iterations);
  uint32_t stack[32], variables[8] = {0};
  int sp = 0, pc = 0;
  long executed = 0;
  for (;;) {
    executed++;
    switch (program[pc++]) {
      case PUSH:
        stack[sp++] = program[pc++];
        break;
      case ADD:
        sp--;
        stack[sp - 1] += stack[sp];
        break;
      case SUB:
        sp--;
        stack[sp - 1] -= stack[sp];
        break;
      case MUL:
        sp--;
        stack[sp - 1] *= stack[sp];
        break;
      case XOR:
        sp--;
        stack[sp - 1] ^= stack[sp];
        break;
      case AND:
        sp--;
        stack[sp - 1] &= stack[sp];
        break;
      case SHR:
        sp--;
        stack[sp - 1] >>= stack[sp];
        break;
      case LT:
        sp--;
        stack[sp - 1] = (int32_t)stack[sp - 1] < (int32_t)stack[sp];
        break;
      case JZ: {
        int target = program[pc++];
        if (!stack[--sp]) pc = target;
        break;
      }
      case JMP:
        pc = program[pc];
        break;
      case LD:
        stack[sp++] = variables[program[pc++]];
        break;
      case ST:
        variables[program[pc++]] = stack[--sp];
        break;
      case HALT:
        sprintf(result, "%08x/%ld", variables[2], executed);
        return;
    }
  }
}

static int compare(const void *left, const void *right) {
  uint32_t x = *(const uint32_t *)left, y = *(const uint32_t *)right;
  return x < y ? -1 : x > y;
}

// The C library's qsort on random words.
void run_qsort(long count) {
  uint32_t *words = malloc(count * sizeof *words);
  for (long i = 0; i < count; i++) words[i] = next_random();
  qsort(words, count, sizeof *words, compare);
  uint32_t hash = 0;
  for (long i = 0; i < count; i += 97) hash = hash * 31 + words[i];
  for (long i = 1; i < count; i++) {
    if (words[i] < words[i - 1]) hash = 0xbad;
  }
  sprintf(result, "%08x", hash);
  free(words);
}
