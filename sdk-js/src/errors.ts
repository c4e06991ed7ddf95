/** Failures as callers see them, and how they map from the node's and the browser's. */

export type ErrorCode =
  | 'bad_input'
  | 'not_found'
  | 'unavailable'
  | 'full'
  | 'refused'
  | 'conflict'
  | 'version'
  | 'aborted'
  | 'storage'
  | 'internal';

const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'bad_input',
  'not_found',
  'unavailable',
  'full',
  'refused',
  'conflict',
  'version',
  'aborted',
  'storage',
  'internal',
]);

/** What a node says about a failure. */
export interface ApiError {
  code: string;
  message: string;
  hint?: string | null;
  retryable?: boolean;
}

/** Every failure of this package. */
export class CraftecError extends Error {
  readonly code: ErrorCode;
  /** What can be done, where there is something. */
  readonly hint?: string;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    more: { hint?: string | null | undefined; retryable?: boolean; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    // As the platform names an ended call, so that `e.name === 'AbortError'` goes on working.
    this.name = code === 'aborted' ? 'AbortError' : 'CraftecError';
    this.code = code;
    if (more.hint) this.hint = more.hint;
    this.retryable = more.retryable ?? code === 'unavailable';
  }

  /** From a node's answer. */
  static fromApi(error: ApiError): CraftecError {
    const code = CODES.has(error.code) ? (error.code as ErrorCode) : 'internal';
    return new CraftecError(code, error.message, {
      hint: error.hint,
      retryable: error.retryable ?? code === 'unavailable',
    });
  }

  /** A plain object that survives `postMessage`. */
  toApi(): ApiError {
    return {
      code: this.code,
      message: this.message,
      hint: this.hint ?? null,
      retryable: this.retryable,
    };
  }

  /** Anything thrown, as one of ours. */
  static from(error: unknown, code: ErrorCode = 'internal'): CraftecError {
    if (error instanceof CraftecError) return error;
    if (isApiError(error)) return CraftecError.fromApi(error);
    const name = error instanceof Error || isNamed(error) ? error.name : '';
    const message = error instanceof Error || isNamed(error) ? error.message : String(error);
    if (name === 'AbortError') return new CraftecError('aborted', message, { cause: error });
    if (name === 'QuotaExceededError') {
      return new CraftecError('full', message, {
        cause: error,
        hint: 'Free some space, or let this site store more in the browser settings.',
      });
    }
    return new CraftecError(code, message, { cause: error });
  }
}

/** The call was ended by its caller. */
export function aborted(signal?: AbortSignal): CraftecError {
  const reason: unknown = signal?.reason;
  if (reason instanceof CraftecError) return reason;
  return new CraftecError('aborted', 'The call was ended by its AbortSignal.', { cause: reason });
}

/** The connection to the node ended below a request. */
export class ConnectionLost extends CraftecError {
  constructor(message = 'The connection to the node was lost.') {
    super('unavailable', message, { retryable: true });
  }
}

function isApiError(value: unknown): value is ApiError {
  const error = value as Partial<ApiError> | null;
  return (
    typeof error === 'object' &&
    error !== null &&
    typeof error.code === 'string' &&
    CODES.has(error.code) &&
    typeof error.message === 'string'
  );
}

function isNamed(value: unknown): value is { name: string; message: string } {
  const error = value as { name?: unknown; message?: unknown } | null;
  return typeof error?.name === 'string' && typeof error.message === 'string';
}

/** One sentence about what a browser lacks. */
export function lacks(missing: readonly string[]): string {
  const [last, ...rest] = [...missing].reverse();
  const all = rest.length > 0 ? `${rest.reverse().join(', ')} and ${last}` : last;
  return `This browser can’t run a node: it lacks ${all}.`;
}
