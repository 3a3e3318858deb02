// Workloads of double-precision arithmetic. Included once for each floating-point unit, with UNIT(name) giving the names;
// what the unit is, the compiler's options decide.
#include "workloads.h"

#include <stdio.h>
#include <string.h>

typedef struct {
  double x, y, z, vx, vy, vz, mass;
} Body;

enum { BODY_COUNT = 5 };

#define PI 3.141592653589793
#define SOLAR_MASS (4 * PI * PI)
#define DAYS_PER_YEAR 365.24

// The sun and the four giants: AU, AU/year, in units where the gravitational constant is 1.
static const Body SOLAR_SYSTEM[BODY_COUNT] = {
    {0, 0, 0, 0, 0, 0, SOLAR_MASS},
    {4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01, 1.66007664274403694e-03 * DAYS_PER_YEAR,
     7.69901118419740425e-03 * DAYS_PER_YEAR, -6.90460016972063023e-05 * DAYS_PER_YEAR,
     9.54791938424326609e-04 * SOLAR_MASS},
    {8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01,
     -2.76742510726411868e-03 * DAYS_PER_YEAR, 4.99852801234917238e-03 * DAYS_PER_YEAR,
     2.30417297573763929e-05 * DAYS_PER_YEAR, 2.85885980666130812e-04 * SOLAR_MASS},
    {1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01,
     2.96460137564761618e-03 * DAYS_PER_YEAR, 2.37847173959480950e-03 * DAYS_PER_YEAR,
     -2.96589568540237556e-05 * DAYS_PER_YEAR, 4.36624404335156298e-05 * SOLAR_MASS},
    {1.53796971148509165e+01, -2.59193146099879641e+01, 1.79258772950371181e-01,
     2.68067772490389322e-03 * DAYS_PER_YEAR, 1.62824170038242295e-03 * DAYS_PER_YEAR,
     -9.51592254519715870e-05 * DAYS_PER_YEAR, 5.15138902046611451e-05 * SOLAR_MASS},
};

static Body bodies[BODY_COUNT];

// Sets the bodies up with a total momentum of zero.
static void reset_bodies(void) {
  memcpy(bodies, SOLAR_SYSTEM, sizeof bodies);
  double px = 0, py = 0, pz = 0;
  for (int i = 0; i < BODY_COUNT; i++) {
    px += bodies[i].vx * bodies[i].mass;
    py += bodies[i].vy * bodies[i].mass;
    pz += bodies[i].vz * bodies[i].mass;
  }
  bodies[0].vx = -px / SOLAR_MASS;
  bodies[0].vy = -py / SOLAR_MASS;
  bodies[0].vz = -pz / SOLAR_MASS;
}

static double total_energy(void) {
  double energy = 0;
  for (int i = 0; i < BODY_COUNT; i++) {
    Body *b = &bodies[i];
    energy += 0.5 * b->mass * (b->vx * b->vx + b->vy * b->vy + b->vz * b->vz);
    for (int j = i + 1; j < BODY_COUNT; j++) {
      Body *c = &bodies[j];
      double dx = b->x - c->x, dy = b->y - c->y, dz = b->z - c->z;
      energy -= b->mass * c->mass / __builtin_sqrt(dx * dx + dy * dy + dz * dz);
    }
  }
  return energy;
}

// The planets' orbits by symplectic Euler steps of 0.01 years.
void UNIT(nbody)(long steps) {
  reset_bodies();
  double dt = 0.01;
  for (long step = 0; step < steps; step++) {
    for (int i = 0; i < BODY_COUNT; i++) {
      Body *b = &bodies[i];
      for (int j = i + 1; j < BODY_COUNT; j++) {
        Body *c = &bodies[j];
        double dx = b->x - c->x, dy = b->y - c->y, dz = b->z - c->z;
        double square = dx * dx + dy * dy + dz * dz;
        double magnitude = dt / (square * __builtin_sqrt(square));
        b->vx -= dx * c->mass * magnitude;
        b->vy -= dy * c->mass * magnitude;
        b->vz -= dz * c->mass * magnitude;
        c->vx += dx * b->mass * magnitude;
        c->vy += dy * b->mass * magnitude;
        c->vz += dz * b->mass * magnitude;
      }
    }
    for (int i = 0; i < BODY_COUNT; i++) {
      bodies[i].x += dt * bodies[i].vx;
      bodies[i].y += dt * bodies[i].vy;
      bodies[i].z += dt * bodies[i].vz;
    }
  }
  // Fewer digits than a double has: the extended precision of x87 must not show.
  sprintf(result, "%.9f", total_energy());
}

// The Mandelbrot set on a square of `side` points, at most 50 iterations each; an FNV-1a hash of the counts.
void UNIT(mandel)(long side) {
  uint32_t hash = 2166136261u;
  for (long py = 0; py < side; py++) {
    for (long px = 0; px < side; px++) {
      double cr = 2.0 * px / side - 1.5, ci = 2.0 * py / side - 1.0, zr = 0, zi = 0;
      int i = 0;
      for (; i < 50; i++) {
        double rr = zr * zr, ii = zi * zi;
        if (rr + ii > 4.0) break;
        zi = 2 * zr * zi + ci;
        zr = rr - ii + cr;
      }
      hash = (hash ^ (uint32_t)i) * 16777619u;
    }
  }
  sprintf(result, "%08x", hash);
}
