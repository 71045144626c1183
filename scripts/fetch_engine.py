#!/usr/bin/env python3
"""Brings the engine library of the embedded ClickHouse into the cache folder, once.

It is a file of the npm package @chdb/lib-linux-x64-gnu. Version and checksum are pinned here; where packages come from
is what npm is set up with. A download that breaks off is resumed, or begun anew.
"""

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request

VERSION = "26.7.3-stable.1"
# What npm itself checks (dist.integrity), by machine. No package is published for others at this version.
PACKAGES = {
    ("Linux", "x86_64"): (
        "@chdb/lib-linux-x64-gnu",
        "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
    ),
}
TRIES = 5
PIECE_BYTES = 1 << 20


def fail(line):
    sys.exit(f"fetch_engine: {line}")


def cache_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "millrace", "engine", VERSION)


def address(package):
    if shutil.which("npm") is None:
        fail("npm is missing; install Node.js 20 or newer, which has it")
    asked = subprocess.run(
        ["npm", "view", f"{package}@{VERSION}", "dist.tarball"], capture_output=True, text=True, check=False
    )
    found = asked.stdout.strip()
    if asked.returncode != 0 or not found.startswith("http"):
        reason = (asked.stderr.strip() or "it has no such package").splitlines()[-1]
        fail(f"npm does not find {package}@{VERSION}: {reason}")
    return found


def show(done, total, shown):
    """A bar on a terminal, a line every 10 % elsewhere; returns what was shown."""
    percent = done * 100 // total if total else 0
    if sys.stderr.isatty():
        bar = "#" * (percent * 40 // 100)
        sys.stderr.write(f"\r[{bar:40}] {done >> 20}/{total >> 20} MB")
        if done >= total:
            sys.stderr.write("\n")
    elif percent // 10 > shown:
        sys.stderr.write(f"{percent} % of {total >> 20} MB\n")
    return percent // 10


def download(url, path):
    """Appends what is missing of the file, in as many tries as it takes."""
    for attempt in range(1, TRIES + 1):
        have = os.path.getsize(path) if os.path.exists(path) else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                resumed = answer.status == 206
                have = have if resumed else 0
                total = have + int(answer.headers.get("Content-Length") or 0)
                shown = -1
                with open(path, "ab" if resumed else "wb") as file:
                    while piece := answer.read(PIECE_BYTES):
                        file.write(piece)
                        have += len(piece)
                        shown = show(have, total, shown)
            if have >= total:
                return
            reason = f"it ended at {have} of {total} bytes"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the file is whole already
                return
            reason = str(error)
        except OSError as error:
            reason = str(error)
        print(f"the download broke off ({reason}), try {attempt} of {TRIES}", file=sys.stderr)
        time.sleep(min(2**attempt, 10))
    fail(f"the download did not succeed in {TRIES} tries; run it again, and it goes on where it was")


def checksum(path):
    digest = hashlib.sha512()
    with open(path, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return base64.b64encode(digest.digest()).decode()


def main():
    machine = (platform.system(), platform.machine())
    if machine not in PACKAGES:
        fail(
            f"there is no engine library {VERSION} for {machine[0]} on {machine[1]}; "
            "set CLICKHOUSE_URL to use a ClickHouse server, or MILLRACE_ENGINE_LIB to a libchdb of your own"
        )
    package, expected = PACKAGES[machine]
    folder = cache_folder()
    library = os.path.join(folder, "libchdb.so")
    if os.path.exists(library):
        print(library)
        return
    os.makedirs(folder, exist_ok=True)
    tarball = os.path.join(folder, "package.tgz.part")
    url = address(package)
    print(f"bringing {package}@{VERSION} (about 170 MB)", file=sys.stderr)
    for second in (False, True):
        download(url, tarball)
        found = checksum(tarball)
        if found == expected:
            break
        os.remove(tarball)
        if second:
            fail(f"{package}@{VERSION} has the checksum sha512-{found}; sha512-{expected} was expected")
        print("the checksum is wrong, as after a bad resume; once more from the begin", file=sys.stderr)
    draft = library + ".part"
    with tarfile.open(tarball) as archive, open(draft, "wb") as file:
        shutil.copyfileobj(archive.extractfile("package/libchdb.so"), file, PIECE_BYTES)
    os.chmod(draft, 0o755)
    os.replace(draft, library)
    os.remove(tarball)
    print(library)


if __name__ == "__main__":
    main()
