"""A merchant's client of the provider, written from the provider's two documents alone, with nothing but the standard
library. It obeys commands, one JSON object a line on standard input, and answers each with one line:

    {"do": "place", "parameters": {...}, "headers": {...}}   -> {"httpStatus", "answer"}
    {"do": "listen", "acknowledge": ["text/plain", "SUCCESS"]} -> {"callbackUrl"}
    {"do": "next"}                                            -> {"genuine", "callback"}, once one has come

`headers` replaces single headers, for requests that are to be refused.
"""

import hashlib
import hmac
import http.client
import http.server
import json
import os
import queue
import ssl
import sys
import threading
import time
import urllib.parse

ACCESS_KEY = os.environ["ACCESS_KEY"]
SECRET_KEY = os.environ["SECRET_KEY"]
ENDPOINT = urllib.parse.urlsplit(os.environ["ENDPOINT"])
CONTEXT = ssl.create_default_context(cafile=os.environ["CA_FILE"])
CALLBACKS = queue.Queue()


def sign(timestamp):
    text = "%s_%s" % (ACCESS_KEY, timestamp)
    return hmac.new(SECRET_KEY.encode(), text.encode(), hashlib.sha256).hexdigest().upper()


def place(parameters, headers):
    timestamp = headers.get("timestamp", str(int(time.time() * 1000)))
    connection = http.client.HTTPSConnection(ENDPOINT.hostname, ENDPOINT.port, timeout=30, context=CONTEXT)
    connection.request(
        "POST",
        ENDPOINT.path,
        body=json.dumps(parameters).encode(),
        headers={
            "Content-Type": "application/json",
            "access_key": ACCESS_KEY,
            "timestamp": timestamp,
            "signature": sign(timestamp),
            **headers,
        },
    )
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert set(answer) == {"data", "statusCode", "message", "success"}, answer
    return {"httpStatus": response.status, "answer": answer}


def is_genuine(callback):
    """Signed by us, and for a time not long ago: the document asks for both."""
    recent = abs(time.time() * 1000 - callback["timestamp"]) < 5 * 60 * 1000
    return recent and hmac.compare_digest(callback["signature"], sign(callback["timestamp"]))


def listen(content_type, body):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            # Money is never read through a float.
            callback = json.loads(text, parse_float=str)
            genuine = self.headers["Content-Type"] == "application/json" and is_genuine(callback)
            self.send_response(200 if genuine else 401)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())
            CALLBACKS.put({"genuine": genuine, "callback": callback})

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return {"callbackUrl": "http://127.0.0.1:%d/callback" % server.server_port}


def obey(command):
    if command["do"] == "place":
        return place(command["parameters"], command.get("headers", {}))
    if command["do"] == "listen":
        return listen(*command["acknowledge"])
    return CALLBACKS.get(timeout=30)


for line in sys.stdin:
    print(json.dumps(obey(json.loads(line))), flush=True)
