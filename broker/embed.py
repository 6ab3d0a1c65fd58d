"""embed.py INPUT OUTPUT NAME — a C header with the bytes of INPUT as the string NAME."""
import sys

source, target, name = sys.argv[1:4]
with open(source, "rb") as f:
    data = f.read() + b"\0"
with open(target, "w") as f:
    f.write(f"static const char {name}[] = {{\n")
    for at in range(0, len(data), 20):
        f.write("    " + ", ".join(str(b if b < 128 else b - 256) for b in data[at : at + 20]) + ",\n")
    f.write("};\n")
