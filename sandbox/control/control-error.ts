/** A control request that cannot be done; the message says what would be right. A retry does not help. */
export class ControlError extends Error {
  readonly httpStatus: 400 | 404 | 409;
  constructor(httpStatus: 400 | 404 | 409, message: string) {
    super(message);
    this.httpStatus = httpStatus;
  }
}
