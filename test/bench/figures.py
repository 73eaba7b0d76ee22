"""Figures of a bench: percentiles, medians, ratios, the JSON, the table.  Pure."""
import json
import statistics

# Key of the ratio: (what it may be at most or at least, what is aimed at)
TARGETS = {
    "bulk_throughput_vs_haproxy": (">=", 1.10, 1.30),
    "bulk_cpu_per_gb_vs_haproxy": ("<=", 0.90, 0.75),
    "bulk_cpu_per_gb_vs_aes_floor": ("<=", 2.2, 1.8),
    "small_frames_throughput_vs_haproxy": (">=", 1.0, 1.2),
    "health_p99_under_bulk_vs_ssh_mux_100mbit": ("<=", 0.06, 0.03),
    "health_p99_under_bulk_vs_ssh_mux_1gbit": ("<=", 0.15, 0.06),
    "health_p99_under_bulk_vs_haproxy_lowlatency": ("<=", 2.0, 1.0),
    "bulk_share_kept_under_health": (">=", 0.90, 0.95),
    "rtt100ms_stream_throughput_vs_plain_tcp": (">=", 0.90, 0.98),
    "idle_tentacle_memory_vs_haproxy": ("<=", 0.55, 0.40),
    "health_sweep_vs_ssh_controlmaster": (">=", 20, 60),
    "script_sweep_vs_ssh_controlmaster": (">=", 3, 5),
    "reconnect_cpu_vs_nginx": ("<=", 1.0, 0.8),
}


def percentile(numbers, percent):
    """The smallest number that so many percent are not above."""
    ordered = sorted(numbers)
    if not ordered:
        raise ValueError("no numbers")
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(1, int(rank)) - 1]


def latency(microseconds):
    """What is kept of one measurement's requests."""
    return {"p50_ms": round(percentile(microseconds, 50) / 1000, 3),
            "p99_ms": round(percentile(microseconds, 99) / 1000, 3),
            "samples": len(microseconds)}


def load(raw):
    """What is kept of one measurement's bytes: MB/s, CPU seconds per GB of the
    relay and of the load."""
    seconds, gigabytes = raw["us"] / 1e6, raw["bytes"] / 1e9
    return {"mb_s": round(raw["bytes"] / 1e6 / seconds, 1),
            "cpu_s_per_gb": round(raw["cpu_ns"] / 1e9 / gigabytes, 3),
            "load_s_per_gb": round(raw["load_ns"] / 1e9 / gigabytes, 3),
            "relay_busy": round(raw["cpu_ns"] / 1e3 / raw["us"], 3)}


def medians(rounds):
    """{"row.who.what": median over the rounds}"""
    found = {}
    for one in rounds:
        for who, measured in one["measured"].items():
            for what, number in measured.items():
                found.setdefault(f"{one['row']}.{who}.{what}", []).append(number)
    return {key: round(statistics.median(numbers), 4)
            for key, numbers in found.items()}


def ratios(rounds):
    """{key: the median of the rounds' ratios}"""
    found = {}
    for one in rounds:
        for key, number in one["ratios"].items():
            found.setdefault(key, []).append(number)
    return {key: round(statistics.median(found[key]), 4)
            for key in TARGETS if key in found}


def verdict(key, ratio):
    sign, must, aim = TARGETS[key]
    good = (lambda limit: ratio >= limit) if sign == ">=" else (
        lambda limit: ratio <= limit)
    return "aim" if good(aim) else "must" if good(must) else "missed"


def result(machine, rounds):
    return {"machine": machine, "rounds": rounds,
            "medians": medians(rounds), "ratios": ratios(rounds)}


def table(whole):
    """Markdown: the ratios, then what they were made of."""
    lines = ["| ratio | median | rounds | must | aim | |",
             "|---|---|---|---|---|---|"]
    for key, ratio in whole["ratios"].items():
        sign, must, aim = TARGETS[key]
        each = [r["ratios"][key] for r in whole["rounds"]
                if key in r["ratios"]]
        lines.append(
            f"| `{key}` | **{ratio:.3g}** | {min(each):.3g} to {max(each):.3g} "
            f"({len(each)}) | {sign} {must} | {sign} {aim} "
            f"| {verdict(key, ratio)} |")
    lines += ["", "| measured | median |", "|---|---|"]
    lines += [f"| {key} | {number:g} |"
              for key, number in whole["medians"].items()]
    return "\n".join(lines)


def write(whole, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
