"""Serves MiniStack on a port that the system chooses, and prints the port as the first line of output.

No other process can take the port between the choice and the start. The process ends when its standard input ends, so
it ends with the process that started it, however that one dies. The functions lose their Runtime API and end too.

Environment: TMPDIR, which is removed at the end, and GATEWAY_PORT, the proxy's port, which queue URLs have.
"""

import os
import shutil
import socket
import threading


def end_with_input():
    os.read(0, 1)
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listener.getsockname()[1], flush=True)

# The imports take a second or two. Until then, connections wait.
import asyncio  # noqa: E402

import redrive  # noqa: E402, F401
from hypercorn.asyncio import serve  # noqa: E402
from hypercorn.config import Config  # noqa: E402
from ministack.app import app  # noqa: E402

config = Config()
config.bind = [f"fd://{listener.fileno()}"]
config.keep_alive_timeout = 75
asyncio.run(serve(app, config))
