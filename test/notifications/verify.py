"""Verifies messages by the text of Standard Webhooks 1.0.0, with the standard library only.

Reads one JSON array a line: id, timestamp, signatures, body (base64), secret. Prints 1 or 0 for each.
"""

import base64
import hashlib
import hmac
import json
import sys


def verified(msg_id, timestamp, signatures, body, secret):
    if not secret.startswith("whsec_"):
        return False
    key = base64.b64decode(secret[len("whsec_") :], validate=True)
    signed = b".".join([msg_id.encode(), timestamp.encode(), base64.b64decode(body)])
    expected = hmac.new(key, signed, hashlib.sha256).digest()
    for entry in signatures.split(" "):
        version, _, text = entry.partition(",")
        if version != "v1":
            continue
        try:
            given = base64.b64decode(text, validate=True)
        except ValueError:
            continue
        if hmac.compare_digest(given, expected):
            return True
    return False


print("".join("1" if verified(*json.loads(line)) else "0" for line in sys.stdin))
