/** KVM's paravirtual clock (Linux documentation, virt/kvm/x86/msr.rst and cpuid.rst; pvclock-abi.h). */
export const msr = {
  wallClockOld: 0x11,
  systemTimeOld: 0x12,
  wallClock: 0x4b564d00,
  systemTime: 0x4b564d01,
} as const;
export const flags = { tscStable: 1 } as const;
/** Offsets in pvclock_vcpu_time_info, 32 bytes. */
export const timeInfo = { version: 0, tsc: 8, systemTime: 16, mul: 24, shift: 28, flags: 29, size: 32 } as const;
/** Offsets in pvclock_wall_clock, 12 bytes. */
export const wallClock = { version: 0, seconds: 4, nanoseconds: 8, size: 12 } as const;
