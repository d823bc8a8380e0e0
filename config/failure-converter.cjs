'use strict';
// CommonJS, because Temporal's SDK takes a failure converter by the path of a file that it can `require`, in every
// process and in the bundle of the workflows.
const { DefaultFailureConverter } = require('@temporalio/common');

/**
 * With the payload codec on, messages and stack traces of failures are payloads as well, and so are encrypted. A
 * process uses this file only then. The bundle of the workflows always contains it and has no `process`: there the
 * worker sets the mode through the global variable (worker/workflow-source.ts).
 */
const plain = new DefaultFailureConverter();
const encoding = new DefaultFailureConverter({ encodeCommonAttributes: true });
const encodes = () => typeof process !== 'undefined' || globalThis.depositEngineFailures === 'encoded';
const chosen = () => (encodes() ? encoding : plain);

exports.failureConverter = {
  errorToFailure: (...given) => chosen().errorToFailure(...given),
  failureToError: (...given) => chosen().failureToError(...given),
};
