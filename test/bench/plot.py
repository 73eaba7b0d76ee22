"""Bars as SVG, from what a bench has written.  Pure; nothing but text."""
from xml.sax.saxutils import escape

WIDTH, LEFT, BAR, GAP = 720, 250, 18, 8
OURS, THEIRS, INK, FAINT = "#2458a8", "#9aa7b8", "#222222", "#d0d0d0"

# File: (title, unit, keys of medians that are bars)
PLOTS = {
    "bulk-throughput": ("Bulk through one relay on one core", "MB/s", [
        "bulk.longarm.mb_s", "bulk.haproxy.mb_s", "bulk.nginx.mb_s",
        "bulk.stunnel.mb_s", "small.longarm.mb_s", "small.haproxy.mb_s"]),
    "bulk-cpu": ("CPU of the relay for each GB of bulk", "s", [
        "bulk.longarm.cpu_s_per_gb", "bulk.haproxy.cpu_s_per_gb",
        "bulk.nginx.cpu_s_per_gb", "bulk.stunnel.cpu_s_per_gb",
        "bulk.openssl_speed.cpu_s_per_gb"]),
    "health-latency": ("A small request beside saturating bulk, p99", "ms", [
        "health100m.longarm.p99_ms", "health100m.ssh.p99_ms",
        "health1g.longarm.p99_ms", "health1g.ssh.p99_ms",
        "unshaped.longarm.p99_ms", "unshaped.haproxy_lowlatency.p99_ms"]),
    "sweep": ("A sweep over 1,000 machines", "s", [
        "sweep.longarm.health_s_per_1000", "sweep.longarm.script_s_per_1000",
        "sweep.ssh.true_s_per_1000"]),
}


def bars(title, unit, rows):
    """rows: [(label, number, ours?)]; lengths from zero, in proportion."""
    most = max([number for _, number, _ in rows], default=0) or 1
    room = WIDTH - LEFT - 110
    height = 50 + len(rows) * (BAR + GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
           f'height="{height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
           f'<text x="12" y="24" font-size="15" fill="{INK}">'
           f'{escape(title)}, {escape(unit)}</text>',
           f'<line x1="{LEFT}" y1="38" x2="{LEFT}" y2="{height - 8}" '
           f'stroke="{FAINT}"/>']
    for i, (label, number, ours) in enumerate(rows):
        y = 42 + i * (BAR + GAP)
        length = max(1, round(room * number / most))
        out += [f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end" '
                f'fill="{INK}">{escape(label)}</text>',
                f'<rect x="{LEFT}" y="{y}" width="{length}" height="{BAR}" '
                f'fill="{OURS if ours else THEIRS}"/>',
                f'<text x="{LEFT + length + 6}" y="{y + 14}" fill="{INK}">'
                f'{number:g}</text>']
    return "\n".join(out + ["</svg>", ""])


def label_of(key):
    row, who, what = key.split(".")
    rest = {"health_s_per_1000": ", health", "script_s_per_1000": ", script",
            "true_s_per_1000": ", true"}.get(what, "")
    return f"{row}: {who.replace('_', ' ')}{rest}"


def draw(whole):
    """{file name: SVG}, of what was measured."""
    found = {}
    for name, (title, unit, keys) in PLOTS.items():
        rows = [(label_of(key), whole["medians"][key], ".longarm." in key)
                for key in keys if key in whole["medians"]]
        if rows:
            found[f"{name}.svg"] = bars(title, unit, rows)
    return found
