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

/** No response, or a broken one: the connection has failed. Each browser has its own message for it. */
export class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
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
