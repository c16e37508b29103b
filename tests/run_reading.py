"""One of two processes reading a folder: PORT PROCESS FOLDER. Writes what it read itself, and what it got."""

import json
import sys

from hinas_jax import processes
from hinas_jax.data import sources

if __name__ == "__main__":
    port, process, folder = sys.argv[1:]
    processes.join(f"localhost:{port}", 2, int(process))
    opened, said, read_picture = [], [], sources.read_picture

    def read_and_count(path, channels):
        opened.append(path.name)
        return read_picture(path, channels)

    sources.read_picture = read_and_count
    try:
        pictures = processes.agree(lambda: sources.load_pictures(folder, "train", 3, say=said.append))
    except (sources.PictureError, processes.ProcessError) as error:
        told = {"refused": str(error)}
    else:
        told = {"opened": opened, "names": pictures.names, "digest": pictures.digest(), "said": said}
    sys.stdout.write(json.dumps(told) + "\n")
