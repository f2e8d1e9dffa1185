"""Serves MiniStack on a port that the system chooses, below a secret path. Prints PORT/SECRET as the first line.

The port is bound before it is printed, so no other process can take it. This process ends when its standard input is
closed. So it ends whenever the process that started it ends, even if that process is killed. The functions then lose
their Runtime API, and end too.

Environment:
  TMPDIR        the folder for temporary files, which is removed at the end
  GATEWAY_PORT  the port of the proxy, which MiniStack puts into the URLs of queues
"""

import json
import os
import secrets
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler


def end_with_input():
    os.read(0, 1)
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
# MiniStack itself answers every web page. A web page can find the port by trying, but not the path.
SECRET = f"/{secrets.token_urlsafe()}"
print(f"{listener.getsockname()[1]}{SECRET}", flush=True)

# These imports take a second or two. Connections that are opened meanwhile wait.
import asyncio  # noqa: E402

import redrive  # noqa: E402, F401
from hypercorn.asyncio import serve  # noqa: E402
from hypercorn.config import Config  # noqa: E402
from ministack.app import app  # noqa: E402
from ministack.services import iam  # noqa: E402
from ministack.services.cloudformation import helpers  # noqa: E402

# MiniStack parses the URL of a template itself, and does not expect the secret path in it.
urlparse = helpers.urlparse
helpers.urlparse = lambda location: urlparse(location.replace(SECRET, "", 1))


def policies():
    """Returns the inline policies of each role, by the role's ARN."""
    return {
        role["Arn"]: [json.loads(policy) for policy in role["InlinePolicies"].values()]
        for role in iam._roles.values()
    }


async def below_secret(scope, receive, send):
    """Serves MiniStack to clients that know the secret path, and refuses all others."""
    if scope["type"] == "lifespan":
        await app(scope, receive, send)
    elif scope["path"] == f"{SECRET}/_policies":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(policies()).encode()})
    elif scope["path"].startswith(f"{SECRET}/") or scope["path"] == SECRET:
        path, raw_path = scope["path"][len(SECRET) :], scope["raw_path"][len(SECRET) :]
        await app({**scope, "path": path or "/", "raw_path": raw_path or b"/"}, receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close"})
    else:
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body"})


parse_request = BaseHTTPRequestHandler.parse_request


def parse_and_check_request(handler):
    """Refuses requests from web pages. MiniStack serves each function's Runtime API without any check."""
    if not parse_request(handler):
        return False
    expected_host = f"127.0.0.1:{handler.connection.getsockname()[1]}"
    headers = handler.headers
    if "Origin" in headers or "Sec-Fetch-Site" in headers or headers["Host"] != expected_host:
        handler.send_error(403)
        return False
    return True


BaseHTTPRequestHandler.parse_request = parse_and_check_request

config = Config()
config.bind = [f"fd://{listener.fileno()}"]
config.keep_alive_timeout = 75
asyncio.run(serve(below_secret, config))
