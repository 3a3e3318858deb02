/** Everything that the coordinator refuses or fails at, as one closed union; the message is a whole sentence. */
export type VmmErrorCode =
  /** No guest of that id. */
  | 'unknownGuest'
  /** The catalogue has no entry of that id. */
  | 'unknownCatalogueId'
  /** The catalogue could not be read. */
  | 'noCatalogue'
  /** A kernel or initrd could not be fetched. */
  | 'fetchFailed'
  /** The user did not agree to boot something from another origin. */
  | 'notAllowed'
  /** The memory pool refuses: the limit, or the number of memories. */
  | 'outOfMemory'
  /** The host refuses a memory, a worker or a module. */
  | 'hostRefused'
  /** The page is not cross-origin isolated. */
  | 'notIsolated'
  /** The executor says that what it was given cannot be started. */
  | 'badGuest'
  /** A request that the guest's state does not permit. */
  | 'wrongState'
  /** What one waited for did not come in time. */
  | 'timeout'
  /** Nothing is compiled at an address. */
  | 'noRegion'
  /** A definition of a guest, or a file of one, that cannot be. */
  | 'badDefinition'
  /** No disk of that id. */
  | 'unknownDisk'
  /** Somebody else has the disk open for writing. */
  | 'diskInUse'
  /** A disk cannot be opened, read or written; the message says why. */
  | 'storage'
  /** A parameter that makes no sense. */
  | 'badArgument';

export class VmmError extends Error {
  override readonly name = 'VmmError';
  readonly code: VmmErrorCode;

  constructor(code: VmmErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A size for people: `288 MiB`, `1.5 GiB`. */
export function sizeText(bytes: number): string {
  const mib = bytes / 2 ** 20;
  if (mib > 0 && mib < 1) return `${Math.ceil(bytes / 1024)} KiB`;
  return mib < 1024 ? `${Math.ceil(mib)} MiB` : `${Number((mib / 1024).toFixed(1))} GiB`;
}
