/** Everything that storage refuses or fails at, as one closed union; the message is a whole sentence for people. */
export type StorageErrorCode =
  | 'readOnly'
  | 'outOfRange'
  | 'badSize'
  /** The medium or the browser failed. */
  | 'io'
  /** The browser has no more room for this origin. */
  | 'quota'
  /** A checksum does not match, or what is stored makes no sense. */
  | 'corrupt'
  /** Another page has opened the disk for writing since: this one must not write any more. */
  | 'fenced'
  /** The file at an address is no longer what it was. */
  | 'changed'
  /** An address that cannot be read piece by piece. */
  | 'noRanges'
  /** An address cannot be reached, or does not permit it (CORS). */
  | 'network'
  | 'notFound'
  | 'closed';

export class StorageError extends Error {
  override readonly name = 'StorageError';
  readonly code: StorageErrorCode;

  constructor(code: StorageErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Whatever was thrown, as a {@link StorageError}. */
export function storageError(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const { name, message } = error instanceof Error ? error : { name: '', message: String(error) };
  if (name === 'QuotaExceededError') {
    return new StorageError(
      'quota',
      'The browser has no more room for this page: delete disks that are not needed, or free space on this computer.',
    );
  }
  return new StorageError('io', `The storage failed: ${message}`);
}
