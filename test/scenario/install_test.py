"""make install: what it puts where, and whether a machine would accept it."""

import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LONGARM_BIN", TOP / "build/cc/bin"))
DAEMONS = ("server", "relay", "tentacle")
PROGRAMS = ("longarm", *(f"longarm-{d}" for d in DAEMONS))
# Tenths of systemd's exposure level; 100 is a program without any fence.
EXPOSURE_MAX = 15


def call(*args, **kwargs):
    return subprocess.run([str(a) for a in args], capture_output=True,
                          text=True, timeout=120, **kwargs)


def install(root):
    result = call(TOP / "scripts/install-files", BIN, root, "/usr")
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module", name="root")
def installed_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    install(root)
    return root


def test_every_program_is_there_and_tells_its_version(root):
    for name in PROGRAMS:
        result = call(root / "usr/bin" / name, "--version", env={})
        assert result.returncode == 0, result.stderr
        assert re.search(r"\d+\.\d+\.\d+", result.stdout), result.stdout
    assert os.readlink(root / "usr/bin/longarm") == "longarm-server"


def test_nothing_installed_is_writable_or_hidden_by_the_umask(tmp_path):
    result = call("sh", "-c", f'umask 077; exec "{TOP}/scripts/install-files" '
                  f'"{BIN}" "{tmp_path}/r" /usr')
    assert result.returncode == 0, result.stderr
    for path in (tmp_path / "r").rglob("*"):
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        program = (path.is_dir() or path.parent.name == "bin"
                   or path.parent.name == "longarm" and "lib" in path.parts)
        assert mode == (0o755 if program else 0o644), (path, oct(mode))


def test_an_existing_configuration_is_kept(tmp_path):
    install(tmp_path)
    mine = tmp_path / "etc/longarm/relay.conf"
    mine.write_text("# mine\n")
    assert "kept" in install(tmp_path)
    assert mine.read_text() == "# mine\n"
    sample = tmp_path / "usr/share/doc/longarm/examples/relay.conf"
    assert "[relay]" in sample.read_text()


def test_the_samples_say_what_the_programs_say():
    result = call(TOP / "scripts/update-samples", "--check", BIN)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", DAEMONS)
def test_a_sample_is_good_as_it_is_and_with_every_line_in_use(root, name,
                                                              tmp_path):
    program = root / "usr/bin" / f"longarm-{name}"
    sample = root / "etc/longarm" / f"{name}.conf"
    result = call(program, "config", "check", "--config", sample, env={})
    assert (result.returncode, result.stderr) == (0, "")
    text, count = re.subn(r"(?m)^#(?=[a-z-]+ = )", "", sample.read_text())
    assert count > 10
    used = tmp_path / "used.conf"
    used.write_text(text)
    result = call(program, "config", "check", "--config", used, env={})
    assert (result.returncode, result.stderr) == (0, "")


def unit_in_place(root, name, directory):
    """The unit with the path at which its program lies now."""
    text = (root / f"lib/systemd/system/longarm-{name}.service").read_text()
    assert "@BINDIR@" not in text
    path = directory / f"longarm-{name}.service"
    path.write_text(text.replace("/usr/bin/", f"{root}/usr/bin/"))
    return path


needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


@needs_systemd
@pytest.mark.parametrize("name", DAEMONS)
def test_systemd_understands_every_line_of_the_unit(root, name, tmp_path):
    unit = unit_in_place(root, name, tmp_path)
    result = call("systemd-analyze", "verify", "--man=no", unit)
    assert (result.returncode, result.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", ("server", "relay"))
def test_the_network_daemons_are_fenced_in(root, name, tmp_path):
    unit = unit_in_place(root, name, tmp_path)
    result = call("systemd-analyze", "security", "--offline=true",
                  "--no-pager", f"--threshold={EXPOSURE_MAX}", unit)
    assert result.returncode == 0, result.stdout


def test_nothing_in_the_tentacles_unit_is_inherited_by_scripts(root):
    text = (root / "lib/systemd/system/longarm-tentacle.service").read_text()
    keys = {line.split("=")[0] for line in text.splitlines()
            if "=" in line and not line.startswith("#")}
    fences = [k for k in keys if k.startswith(("Private", "Protect", "Restrict",
                                               "SystemCall", "Memory"))]
    assert fences == [] and "NoNewPrivileges" not in keys
    assert "KillMode=process" in text and "Delegate=yes" in text


def test_units_and_users_and_directories_agree(root):
    users = (root / "usr/lib/sysusers.d/longarm.conf").read_text()
    places = (root / "usr/lib/tmpfiles.d/longarm.conf").read_text()
    assert "u longarm - " in users  # of the tentacle's network process
    for name in ("server", "relay"):
        unit = (root / f"lib/systemd/system/longarm-{name}.service").read_text()
        user = f"longarm-{name}"
        assert f"User={user}\n" in unit and f"u {user} " in users
        assert f"StateDirectory={user}\n" in unit
        assert f"d /var/lib/{user} 0700 {user} {user} " in places
        for line in ("UMask=0077", "LimitCORE=0", "StateDirectoryMode=0700"):
            assert f"{line}\n" in unit


@pytest.mark.parametrize("name", PROGRAMS)
def test_completions_and_man_pages_are_made(root, name):
    share = root / "usr/share"
    page = (share / f"man/man1/{name}.1").read_text()
    assert page.startswith(".TH ") and name in page.split("\n")[0]
    for path in (share / "bash-completion/completions" / name,
                 share / "zsh/vendor-completions" / f"_{name}",
                 share / "fish/vendor_completions.d" / f"{name}.fish"):
        assert name in path.read_text()
    result = call("bash", "-n", share / "bash-completion/completions" / name)
    assert result.returncode == 0, result.stderr
