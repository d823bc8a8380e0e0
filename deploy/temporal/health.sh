#!/bin/sh
# Asks the Temporal frontend for its health with grpc.health.v1.Health/Check; exits with 0 if it serves. The server's
# image has no gRPC client, so the call is written byte by byte: HTTP/2 preface, SETTINGS, one request.
set -eu
service=temporal.api.workflowservice.v1.WorkflowService # 47 bytes

call() {
  printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  printf '\000\000\000\004\000\000\000\000\000'
  # HEADERS, 75 bytes, stream 1: POST, http, the path, content-type, te.
  printf '\000\000\113\001\004\000\000\000\001\203\206'
  printf '\004\034/grpc.health.v1.Health/Check'
  printf '\001\011localhost\017\020\020application/grpc\000\002te\010trailers'
  # DATA, 54 bytes, end of stream: a message of 49 bytes, whose field 1 is the service.
  printf '\000\000\066\000\001\000\000\000\001\000\000\000\000\061\012\057%s' "$service"
  # The server responds only while the connection is open.
  sleep 1
}

# The message of the response: two bytes, field 1 = 1, SERVING.
call | timeout 3 nc localhost 7233 | od -An -v -tx1 | tr -d ' \n' | grep -q 00000000020801
