/**
 * A lock that a worker holds for as long as it lives: the page, which asks for the same one, gets it when the worker is
 * gone, also where no event tells of that (it closed itself, or the browser ended it to get memory back).
 */

/** Resolves when the lock is held, or at once where the host has no Web Locks. */
export function showLife(lockName: string): Promise<void> {
  // Absent where the page is no secure context.
  const locks = (navigator as { readonly locks?: LockManager }).locks;
  if (locks === undefined) return Promise.resolve();
  return new Promise((held) => {
    void locks.request(lockName, () => {
      held();
      return new Promise<never>(() => {});
    });
  });
}
