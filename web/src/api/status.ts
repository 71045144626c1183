/** The status codes of gRPC. */
export enum Code {
  Canceled = 1,
  Unknown,
  InvalidArgument,
  DeadlineExceeded,
  NotFound,
  AlreadyExists,
  PermissionDenied,
  ResourceExhausted,
  FailedPrecondition,
  Aborted,
  OutOfRange,
  Unimplemented,
  Internal,
  Unavailable,
  DataLoss,
  Unauthenticated,
}

export interface StatusDetail {
  /** Full name of the message. */
  type: string;
  value: Uint8Array;
}

/** A call has ended with a status other than OK. */
export class StatusError extends Error {
  override readonly name = "StatusError";

  constructor(
    message: string,
    readonly code: Code,
    readonly details: StatusDetail[] = [],
  ) {
    super(message);
  }
}
