#!/usr/bin/env python3
"""Downloads the library of the embedded ClickHouse into the cache folder, unless it is there, and prints its path.

It is a file of the npm package @chdb/lib-linux-x64-gnu. Version and checksum are pinned here; npm's configuration decides
which registry it comes from. An interrupted download is resumed.
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
# Package and checksum (dist.integrity, which npm checks too) by platform. This version has no package for other platforms.
PACKAGES = {
    ("Linux", "x86_64"): (
        "@chdb/lib-linux-x64-gnu",
        "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
    ),
}
ATTEMPTS = 5
CHUNK_BYTES = 1 << 20


def fail(line):
    sys.exit(f"fetch_engine: {line}")


def cache_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "millrace", "engine", VERSION)


def tarball_url(package):
    if shutil.which("npm") is None:
        fail("npm is missing; install Node.js 20 or newer")
    view = subprocess.run(
        ["npm", "view", f"{package}@{VERSION}", "dist.tarball"], capture_output=True, text=True, check=False
    )
    url = view.stdout.strip()
    if view.returncode != 0 or not url.startswith("http"):
        reason = (view.stderr.strip() or "the registry has no such package").splitlines()[-1]
        fail(f"npm cannot find {package}@{VERSION}: {reason}")
    return url


def report_progress(done, total, last_tenth):
    """Prints a bar on a terminal, else a line every 10 %. Returns the tenth that has been reached."""
    percent = done * 100 // total if total else 0
    if sys.stderr.isatty():
        bar = "#" * (percent * 40 // 100)
        sys.stderr.write(f"\r[{bar:40}] {done >> 20}/{total >> 20} MB")
        if done >= total:
            sys.stderr.write("\n")
    elif percent // 10 > last_tenth:
        sys.stderr.write(f"{percent} % of {total >> 20} MB\n")
    return percent // 10


def download(url, path):
    """Downloads the rest of the file, in up to ATTEMPTS attempts."""
    for attempt in range(1, ATTEMPTS + 1):
        have = os.path.getsize(path) if os.path.exists(path) else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                resumed = response.status == 206
                have = have if resumed else 0
                total = have + int(response.headers.get("Content-Length") or 0)
                last_tenth = -1
                with open(path, "ab" if resumed else "wb") as file:
                    while chunk := response.read(CHUNK_BYTES):
                        file.write(chunk)
                        have += len(chunk)
                        last_tenth = report_progress(have, total, last_tenth)
            if have >= total:
                return
            reason = f"the connection closed after {have} of {total} bytes"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the file is already complete
                return
            reason = str(error)
        except OSError as error:
            reason = str(error)
        print(f"the download was interrupted ({reason}), attempt {attempt} of {ATTEMPTS}", file=sys.stderr)
        time.sleep(min(2**attempt, 10))
    fail(f"the download failed {ATTEMPTS} times; run this again to resume it")


def checksum(path):
    digest = hashlib.sha512()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()


def main():
    machine = (platform.system(), platform.machine())
    if machine not in PACKAGES:
        fail(
            f"there is no engine library {VERSION} for {machine[0]} on {machine[1]}; "
            "set CLICKHOUSE_URL to use a ClickHouse server, or MILLRACE_ENGINE_LIB to your own libchdb"
        )
    package, expected = PACKAGES[machine]
    folder = cache_folder()
    library = os.path.join(folder, "libchdb.so")
    if os.path.exists(library):
        print(library)
        return
    os.makedirs(folder, exist_ok=True)
    tarball = os.path.join(folder, "package.tgz.part")
    url = tarball_url(package)
    print(f"downloading {package}@{VERSION} (about 170 MB)", file=sys.stderr)
    for is_retry in (False, True):
        download(url, tarball)
        found = checksum(tarball)
        if found == expected:
            break
        os.remove(tarball)
        if is_retry:
            fail(f"{package}@{VERSION} has the checksum sha512-{found}; sha512-{expected} was expected")
        print("the checksum is wrong, possibly after a bad resume; starting over", file=sys.stderr)
    draft = library + ".part"
    with tarfile.open(tarball) as archive, open(draft, "wb") as file:
        shutil.copyfileobj(archive.extractfile("package/libchdb.so"), file, CHUNK_BYTES)
    os.chmod(draft, 0o755)
    os.replace(draft, library)
    os.remove(tarball)
    print(library)


if __name__ == "__main__":
    main()
