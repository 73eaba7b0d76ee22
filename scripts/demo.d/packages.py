"""The two published versions of a real web application, cached."""
import pathlib
import subprocess
import sys

NAME = "swagger-ui-dist"
VERSIONS = ("5.17.14", "5.18.2")


def archive(directory, version):
    return pathlib.Path(directory) / "packages" / f"{NAME}-{version}.tgz"


def fetch(directory):
    """npm pack, once; it checks what it got against the registry's digest."""
    cache = pathlib.Path(directory) / "packages"
    cache.mkdir(parents=True, exist_ok=True)
    for version in VERSIONS:
        if archive(directory, version).exists():
            continue
        print(f"fetching {NAME} {version} from the npm registry", flush=True)
        partial = cache / "partial"
        partial.mkdir(exist_ok=True)
        done = subprocess.run(
            ["npm", "pack", "--silent", f"{NAME}@{version}"], cwd=partial,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False)
        if done.returncode != 0:
            sys.exit(f"demo: npm pack {NAME}@{version}: {done.stderr.strip()}")
        (partial / f"{NAME}-{version}.tgz").rename(archive(directory, version))
