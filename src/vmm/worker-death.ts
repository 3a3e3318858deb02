/** Notices that a worker is gone of which no event tells: see `executor/sign-of-life.ts`. */

/**
 * Resolves when nobody holds the lock that the worker took when it began; never, where the host has no Web Locks or
 * `over` is aborted first. To be called when the worker is known to hold it.
 */
export function vanished(lockName: string, over: AbortSignal): Promise<void> {
  // Absent where the page is no secure context.
  const locks = (navigator as { readonly locks?: LockManager }).locks;
  return new Promise((resolve, reject) => {
    if (locks === undefined) return;
    locks
      .request(lockName, { signal: over }, () => resolve())
      .catch((error: unknown) => {
        if (!over.aborted) reject(error instanceof Error ? error : new Error(String(error)));
      });
  });
}
