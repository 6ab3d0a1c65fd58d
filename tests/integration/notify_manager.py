"""A service manager's ear: prints what comes to the datagram socket at the path given, a JSON string in each line."""
import json
import socket
import sys

ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
ear.bind(sys.argv[1])
print("ready", flush=True)
while True:
    print(json.dumps(ear.recv(65536).decode()), flush=True)
