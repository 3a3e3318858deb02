/*
 * Runs x87 and scalar SSE operations on the host CPU and writes what they gave: the generator of vectors/x87-host.txt.gz.
 *
 *   gcc -O1 -o x87 x87.c && ./x87 250 1 | gzip -9n > ../vectors/x87-host.txt.gz
 *
 * Arguments: cases an operation, seed. Lines, in hex: operation, control word (or MXCSR), a, b, status word (or raised
 * MXCSR flags), result, second result. 80-bit values are sign/exponent then significand, 20 digits. ST(0) is a, ST(1) is
 * b. For operations with a memory result the "result" is what lies there afterwards, of cdcd... where nothing was stored.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

typedef struct {
  uint64_t sig;
  uint16_t se;
  uint8_t pad[6];
} f80;

static uint64_t state;
static uint64_t rnd(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
static unsigned below(unsigned n) { return (unsigned)((rnd() >> 33) % n); }

/* Significands with long runs, few bits, or nothing regular. */
static uint64_t random_sig(void) {
  uint64_t r = rnd();
  switch (below(6)) {
    case 0: return r & (~0ull << below(64));
    case 1: return (~0ull >> below(64)) ^ (r & 7);
    case 2: return (1ull << below(64)) | (1ull << below(64));
    case 3: return ~((1ull << below(64)) | (1ull << below(64)));
    default: return r;
  }
}

static f80 special80(void) {
  static const f80 table[] = {
      {0, 0, {0}}, {0, 0x8000, {0}}, {1, 0, {0}}, {0x7fffffffffffffff, 0x8000, {0}},
      {0x8000000000000000, 0, {0}} /* pseudo-denormal */, {0xc000000000000001, 0x8000, {0}},
      {0x8000000000000000, 1, {0}}, {0xffffffffffffffff, 1, {0}},
      {0x8000000000000000, 0x3fff, {0}}, {0x8000000000000000, 0xbfff, {0}},
      {0x8000000000000000, 0x3ffe, {0}}, {0xc000000000000000, 0x3fff, {0}},
      {0x8000000000000000, 0x4000, {0}}, {0xffffffffffffffff, 0x3ffe, {0}},
      {0xffffffffffffffff, 0x7ffe, {0}}, {0x8000000000000000, 0x7ffe, {0}},
      {0x8000000000000000, 0x7fff, {0}}, {0x8000000000000000, 0xffff, {0}},
      {0xc000000000000000, 0xffff, {0}} /* indefinite */, {0xc123456789abcdef, 0x7fff, {0}},
      {0xa123456789abcdef, 0x7fff, {0}} /* signalling */, {0x8000000000000001, 0xffff, {0}},
      {0xe123456789abcdef, 0xffff, {0}}, {0, 0x7fff, {0}} /* pseudo-infinity */,
      {0x4000000000000001, 0x7fff, {0}} /* pseudo-NaN */, {0x7fffffffffffffff, 0x3fff, {0}} /* unnormal */,
      {0, 0x4000, {0}}, {0xc90fdaa22168c235, 0x4000, {0}}, {0xc90fdaa22168c235, 0x3fff, {0}},
      {0x8000000000000000, 0x403e, {0}}, {0xffffffffffffffff, 0x403d, {0}}, {0x8000000000000000, 0xc03e, {0}},
  };
  return table[below(sizeof table / sizeof *table)];
}

/* A value whose exponent lies around `center`; one in eight is special. */
static f80 near80(int center, int spread) {
  if (below(8) == 0) return special80();
  f80 v = {random_sig() | 1ull << 63, 0, {0}};
  int e = center + (int)below(2 * spread + 1) - spread;
  if (e > 0x7ffe) e = 0x7ffe;
  if (e < 1) {
    e = 0;
    v.sig >>= below(64);
  }
  v.se = (uint16_t)(e | (below(2) ? 0x8000 : 0));
  return v;
}

static unsigned char fx[512] __attribute__((aligned(16)));
static union {
  uint8_t b[16];
  uint64_t q[2];
} mem;

static f80 st(int i) {
  f80 v;
  memcpy(&v, fx + 32 + 16 * i, 16);
  return v;
}
static unsigned status(void) { return fx[2] | fx[3] << 8; }

#define RUN(insn)                                                                                                     \
  __asm__ volatile("fninit\n fldt %[b]\n fldt %[a]\n fldcw %[cw]\n" insn "\n fxsave %[fx]\n fninit"                    \
                   : [fx] "=m"(fx), [m] "+m"(mem)                                                                     \
                   : [a] "m"(a), [b] "m"(b), [cw] "m"(cw)                                                             \
                   : "memory")

#define OPERATIONS(X)                                                                                                 \
  X(add, "fadd %%st(1), %%st") X(sub, "fsub %%st(1), %%st") X(mul, "fmul %%st(1), %%st")                              \
  X(div, "fdiv %%st(1), %%st") X(sqrt, "fsqrt") X(prem, "fprem") X(prem1, "fprem1") X(rndint, "frndint")              \
  X(scale, "fscale") X(xtract, "fxtract") X(com, "fcom") X(ucom, "fucom") X(tst, "ftst") X(xam, "fxam")               \
  X(st32, "fsts %[m]") X(st64, "fstl %[m]") X(ist16, "fists %[m]") X(ist32, "fistl %[m]") X(ist64, "fistpll %[m]")    \
  X(istt16, "fisttps %[m]") X(istt32, "fisttpl %[m]") X(istt64, "fisttpll %[m]") X(bstp, "fbstp %[m]")                \
  X(ld32, "flds %[m]") X(ld64, "fldl %[m]") X(bld, "fbld %[m]") X(const0, "fld1") X(const1, "fldl2t")                 \
  X(const2, "fldl2e") X(const3, "fldpi") X(const4, "fldlg2") X(const5, "fldln2") X(const6, "fldz")                    \
  X(sin, "fsin") X(cos, "fcos") X(sincos, "fsincos") X(ptan, "fptan") X(patan, "fpatan") X(2xm1, "f2xm1")             \
  X(yl2x, "fyl2x") X(yl2xp1, "fyl2xp1")

#define DEFINE(name, insn) \
  static void run_##name(f80 a, f80 b, uint16_t cw) { RUN(insn); }
OPERATIONS(DEFINE)

typedef struct {
  const char *name;
  void (*run)(f80, f80, uint16_t);
} operation;
#define ENTRY(name, insn) {#name, run_##name},
static const operation operations[] = {OPERATIONS(ENTRY)};

static int is(const char *name, const char *list) {
  char key[16];
  snprintf(key, sizeof key, " %s ", name);
  return strstr(list, key) != 0;
}

static void operands(const char *name, f80 *a, f80 *b) {
  int wide = below(3) == 0;
  int center = wide ? (int)below(0x8000) : 0x3fff;
  *a = near80(center, 70);
  *b = near80(center, wide ? 70 : 40);
  if (is(name, " mul div scale yl2x ") && wide) {
    /* Results around both ends of the range. */
    int far = below(2) ? 0x7ffe : 1;
    *b = near80(*name == 'm' ? far + 0x3fff - center : *name == 'd' ? center + 0x3fff - far : 0x4008, 66);
  }
  if (is(name, " scale ") && !wide) *b = near80(0x4006, 12);
  if (is(name, " add sub ") && below(3) == 0) {
    *b = *a;
    b->se ^= below(2) ? 0x8000 : 0;
    b->sig ^= 1ull << below(8);
    if (below(2)) b->se ^= 1;
  }
  if (is(name, " prem prem1 ")) *b = near80((a->se & 0x7fff) - (int)below(130) + 10, 3);
  if (is(name, " st32 ")) *a = near80(below(2) ? 0x3fff - 127 : 0x3fff + 127, 30);
  if (is(name, " st64 ")) *a = near80(below(2) ? 0x3fff - 1023 : 0x3fff + 1023, 58);
  if (is(name, " ist16 istt16 ")) *a = near80(0x3fff + 10, 14);
  if (is(name, " ist32 istt32 ")) *a = near80(0x3fff + 24, 30);
  if (is(name, " ist64 istt64 bstp rndint ")) *a = near80(0x3fff + 40, 44);
  if (is(name, " sin cos sincos ptan ")) *a = near80(below(4) ? 0x3fff : 0x3fff + 20, below(4) ? 8 : 50);
  if (is(name, " 2xm1 ")) *a = near80(0x3fff - 5, 4);
  if (is(name, " yl2xp1 ")) *a = near80(0x3fff - 12, 10);
  if (is(name, " patan ")) *b = near80((a->se & 0x7fff), 8);
  if (is(name, " yl2x ")) {
    *a = near80(0x3fff, below(2) ? 2 : 300);
    if (below(8)) a->se &= 0x7fff;
  }
}

static void put80(f80 v) { printf(" %04x%016llx", v.se, (unsigned long long)v.sig); }

static void x87_case(const operation *op) {
  f80 a, b;
  operands(op->name, &a, &b);
  /* Mostly masked; PC 1 is reserved. */
  static const unsigned precisions[] = {3, 3, 2, 0};
  unsigned masks = below(4) ? 0x3f : below(64);
  uint16_t cw = (uint16_t)(0x40 | masks | precisions[below(4)] << 8 | below(4) << 10);
  memset(&mem, 0xcd, sizeof mem);
  int loads = is(op->name, " ld32 ld64 bld ");
  if (loads) {
    mem.q[0] = random_sig();
    if (is(op->name, " ld32 ") && below(2)) mem.q[0] &= below(2) ? 0x807fffff : ~0ull;
    if (is(op->name, " ld64 ") && below(2)) mem.q[0] &= 0x800fffffffffffffull;
    if (below(4) == 0) mem.q[0] |= is(op->name, " ld32 ") ? 0x7f800000 : 0x7ff0000000000000ull;
    if (is(op->name, " ld32 ")) mem.q[0] &= 0xffffffff;
    if (is(op->name, " bld ")) {
      mem.q[0] = 0;
      for (int i = 0; i < 16; i++) mem.q[0] = mem.q[0] << 4 | below(10);
      mem.q[1] = below(10) | below(10) << 4 | (below(2) ? 0x8000 : 0);
    } else mem.q[1] = 0;
    a.sig = mem.q[0];
    a.se = (uint16_t)mem.q[1];
    b.sig = b.se = 0;
  }
  op->run(loads ? (f80){0, 0, {0}} : a, b, cw);
  printf("%s %x", op->name, cw);
  put80(a);
  put80(b);
  printf(" %04x", status());
  if (is(op->name, " st32 st64 ist16 ist32 ist64 istt16 istt32 istt64 bstp ")) {
    put80((f80){mem.q[0], (uint16_t)mem.q[1], {0}});
    printf(" 0\n");
    return;
  }
  put80(st(0));
  if (is(op->name, " xtract sincos ptan ")) put80(st(1));
  else printf(" 0");
  printf("\n");
}

/* SSE: an unmasked exception traps; the handler keeps the flags. */
static sigjmp_buf trapped;
static unsigned trap_flags;
static void on_fpe(int number, siginfo_t *info, void *context) {
  (void)number;
  (void)info;
  trap_flags = ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr & 0x3f;
  siglongjmp(trapped, 1);
}

static uint64_t x, y, r;
#define SSE2OP(insn)                                                                                                   \
  __asm__ volatile("movq %[x], %%xmm0\n movq %[y], %%xmm1\n ldmxcsr %[csr]\n" insn                                     \
                   " %%xmm1, %%xmm0\n stmxcsr %[csr]\n movq %%xmm0, %[r]"                                              \
                   : [csr] "+m"(csr), [r] "=m"(r)                                                                     \
                   : [x] "m"(x), [y] "m"(y)                                                                           \
                   : "xmm0", "xmm1")
#define SSECMP(insn)                                                                                                   \
  __asm__ volatile("movq %[x], %%xmm0\n movq %[y], %%xmm1\n ldmxcsr %[csr]\n" insn                                     \
                   " %%xmm1, %%xmm0\n pushfq\n pop %[r]\n stmxcsr %[csr]"                                              \
                   : [csr] "+m"(csr), [r] "=r"(r)                                                                     \
                   : [x] "m"(x), [y] "m"(y)                                                                           \
                   : "xmm0", "xmm1", "cc")
#define SSEINT(insn)                                                                                                   \
  __asm__ volatile("movq %[x], %%xmm0\n ldmxcsr %[csr]\n xor %%eax, %%eax\n" insn "\n stmxcsr %[csr]\n mov %%rax, %[r]" \
                   : [csr] "+m"(csr), [r] "=m"(r)                                                                     \
                   : [x] "m"(x)                                                                                       \
                   : "xmm0", "rax")
#define SSEFROM(insn)                                                                                                  \
  __asm__ volatile("pxor %%xmm0, %%xmm0\n mov %[x], %%rax\n ldmxcsr %[csr]\n" insn                                     \
                   "\n stmxcsr %[csr]\n movq %%xmm0, %[r]"                                                             \
                   : [csr] "+m"(csr), [r] "=m"(r)                                                                     \
                   : [x] "m"(x)                                                                                       \
                   : "xmm0", "rax")

#define SSE_OPERATIONS(X)                                                                                             \
  X(f64_add, SSE2OP("addsd")) X(f64_sub, SSE2OP("subsd")) X(f64_mul, SSE2OP("mulsd")) X(f64_div, SSE2OP("divsd"))     \
  X(f64_min, SSE2OP("minsd")) X(f64_max, SSE2OP("maxsd")) X(f64_sqrt, SSE2OP("sqrtsd"))       \
  X(f64_comi, SSECMP("comisd")) X(f64_ucomi, SSECMP("ucomisd"))                                                       \
  X(f64_to_f32, SSE2OP("cvtsd2ss")) X(f64_to_i32, SSEINT("cvtsd2si %%xmm0, %%eax"))           \
  X(f64_to_i64, SSEINT("cvtsd2si %%xmm0, %%rax")) X(f64_tto_i32, SSEINT("cvttsd2si %%xmm0, %%eax"))                   \
  X(f64_tto_i64, SSEINT("cvttsd2si %%xmm0, %%rax"))                                                                   \
  X(f32_add, SSE2OP("addss")) X(f32_sub, SSE2OP("subss")) X(f32_mul, SSE2OP("mulss")) X(f32_div, SSE2OP("divss"))     \
  X(f32_min, SSE2OP("minss")) X(f32_max, SSE2OP("maxss")) X(f32_sqrt, SSE2OP("sqrtss"))       \
  X(f32_comi, SSECMP("comiss")) X(f32_ucomi, SSECMP("ucomiss"))                                                       \
  X(f32_to_f64, SSE2OP("cvtss2sd")) X(f32_to_i32, SSEINT("cvtss2si %%xmm0, %%eax"))           \
  X(f32_to_i64, SSEINT("cvtss2si %%xmm0, %%rax")) X(f32_tto_i32, SSEINT("cvttss2si %%xmm0, %%eax"))                   \
  X(f32_tto_i64, SSEINT("cvttss2si %%xmm0, %%rax"))                                                                   \
  X(i64_to_f64, SSEFROM("cvtsi2sd %%rax, %%xmm0")) X(i64_to_f32, SSEFROM("cvtsi2ss %%rax, %%xmm0"))                   \
  X(i32_to_f64, SSEFROM("cvtsi2sd %%eax, %%xmm0")) X(i32_to_f32, SSEFROM("cvtsi2ss %%eax, %%xmm0"))

#define SSE_DEFINE(name, body)      \
  static unsigned sse_##name(unsigned csr) { \
    body;                           \
    return csr;                     \
  }
SSE_OPERATIONS(SSE_DEFINE)

typedef struct {
  const char *name;
  unsigned (*run)(unsigned);
} sse_operation;
#define SSE_ENTRY(name, body) {"sse_" #name, sse_##name},
static const sse_operation sse_operations[] = {SSE_OPERATIONS(SSE_ENTRY)};

static uint64_t sse_value(const char *name, int center) {
  int wide = strncmp(name, "sse_f64", 7) == 0;
  if (strncmp(name, "sse_i", 5) == 0) return (uint64_t)((int64_t)random_sig() >> below(60)) & (name[5] == '3' ? 0xffffffff : ~0ull);
  int max = wide ? 0x7ff : 0xff;
  uint64_t fraction = random_sig() >> (wide ? 12 : 41);
  int e = center + (int)below(60) - 30;
  int pick = (int)below(16);
  if (pick == 0) e = 0;
  if (pick == 1) e = max;
  if (pick == 2) e = max, fraction = 0;
  if (pick == 3) e = 0, fraction = 0;
  if (e < 0) e = 0;
  if (e > max) e = max - 1;
  uint64_t sign = below(2);
  return wide ? sign << 63 | (uint64_t)e << 52 | fraction : sign << 31 | (uint64_t)e << 23 | fraction;
}

static void sse_case(const sse_operation *op) {
  int wide = strncmp(op->name, "sse_f64", 7) == 0;
  int max = wide ? 0x7ff : 0xff;
  int bias = max / 2;
  int center = below(2) ? bias : (int)below(max);
  if (strstr(op->name, "to_i")) center = bias + 31;
  if (strstr(op->name, "to_f32") && below(2)) center = below(2) ? bias - 126 : bias + 127;
  if (strstr(op->name, "_mul") && below(2)) center = below(2) ? bias / 2 : bias + bias / 2;
  x = sse_value(op->name, center);
  y = sse_value(op->name, strstr(op->name, "_div") && below(2) ? (below(2) ? center - bias : center + bias - 2) : center);
  if (below(6) == 0) y = x ^ (wide ? 1ull << 63 : 1ull << 31);
  if (strstr(op->name, "sqrt") || strstr(op->name, "to_f")) y = x;
  unsigned masks = below(4) ? 0x3f : below(64);
  unsigned csr = masks << 7 | below(4) << 13 | (below(4) ? 0 : 0x40) | (below(4) ? 0 : 0x8000);
  unsigned flags;
  int trap = sigsetjmp(trapped, 1);
  if (!trap) flags = op->run(csr) & 0x3f;
  else flags = trap_flags;
  unsigned quiet = 0x1f80;
  __asm__ volatile("ldmxcsr %0" : : "m"(quiet));
  if (strstr(op->name, "comi")) r &= 0x8d5;
  if (strstr(op->name, "f32_") && !strstr(op->name, "to_") ) r &= strstr(op->name, "comi") ? 0x8d5 : 0xffffffff;
  if (strstr(op->name, "to_f32") || strstr(op->name, "to_i32")) r &= 0xffffffff;
  printf("%s %x %llx %llx %02x ", op->name, csr, (unsigned long long)x, (unsigned long long)y, flags);
  if (trap) printf("trap 0\n");
  else printf("%llx 0\n", (unsigned long long)r);
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 60;
  state = argc > 2 ? strtoull(argv[2], 0, 0) : 1;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fpe;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGFPE, &action, 0);
  for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++) {
    int few = strncmp(operations[i].name, "const", 5) == 0 || is(operations[i].name, " xam tst ld32 ld64 bld ");
    for (int n = 0; n < (few ? (count + 3) / 4 : count); n++) x87_case(&operations[i]);
  }
  for (unsigned i = 0; i < sizeof sse_operations / sizeof *sse_operations; i++)
    for (int n = 0; n < count; n++) sse_case(&sse_operations[i]);
  return 0;
}
