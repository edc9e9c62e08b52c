"""From samples to medians, ratios and verdicts, and to the tables that show them."""
import statistics
from dataclasses import dataclass

import bench_cases
from bench_proxies import PEERS, program_of

ENOUGH_ROUNDS = 15
DISTURBED = 0.05  # share of the cores' time that others may take before it is worth a warning


@dataclass(frozen=True)
class Spread:
    """A median between its quartiles."""

    low: float
    median: float
    high: float

    @staticmethod
    def of(values):
        values = [value for value in values if value is not None]
        if not values:
            return None
        if len(values) == 1:
            return Spread(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return Spread(low, median, high)

    def text(self, digits=None):
        if self.low == self.high:
            return number(self.median, digits)
        return f"{number(self.median, digits)} [{number(self.low, digits)}–{number(self.high, digits)}]"


def number(value, digits=None):
    """Three significant digits, or so many behind the point."""
    if value is None:
        return "–"
    if digits is None:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:,.{digits}f}".replace(",", " ")


@dataclass(frozen=True)
class Target:
    text: str
    case: str
    key: str  # of the sample
    against: str  # a proxy, or nothing for an absolute figure
    reach: float
    aim: float


# What the project promises, and what it would like to reach.
TARGETS = [
    Target("CPU a request, 64 connections, against HAProxy", "pingpong-64", "main", "haproxy", 0.92, 0.80),
    Target("CPU a request, 64 connections, against nginx", "pingpong-64", "main", "nginx", 0.95, 0.85),
    Target("CPU a connection, churn, against HAProxy", "churn-32", "main", "haproxy", 0.95, 0.85),
    Target("CPU a gigabyte, 1 connection, against HAProxy", "bulk-1", "main", "haproxy", 0.35, 0.20),
    Target("CPU a gigabyte, 8 connections, against HAProxy", "bulk-8", "main", "haproxy", 0.35, 0.20),
    Target("CPU a gigabyte, 1 connection, against forced splice", "bulk-1", "main", "haproxy-splice", 0.80, 0.50),
    Target("CPU a gigabyte, 8 connections, against forced splice", "bulk-8", "main", "haproxy-splice", 0.80, 0.50),
    Target("p99, 64 connections, against HAProxy", "pingpong-64", "p99_us", "haproxy", 1.0, 0.75),
    Target("resident KiB an idle pair after a 32 KiB burst", "idle", "main", "", 1.0, 0.5),
    Target("ms for a scrape of /metrics, 9,000 connections open", "idle", "scrape_ms", "", 10, 1),
    Target("system calls a request, 64 connections", "syscalls", "main", "", 4.6, 4.2),
    Target("CPU a request, one connection, against nginx", "pingpong-1", "main", "nginx", 1.1, 1.0),
]


class Summary:
    def __init__(self, samples, cases, proxies):
        self.samples, self.cases, self.proxies = samples, cases, proxies

    def of(self, case, proxy):
        return [sample for sample in self.samples if sample["case"] == case and sample["proxy"] == proxy]

    def spread(self, case, proxy, key):
        return Spread.of([sample.get(key) for sample in self.of(case, proxy)])

    def ratio(self, case, key, proxy, against):
        """One proxy's figure as a share of another's, taken inside each round."""
        others = {sample["round"]: sample.get(key) for sample in self.of(case, against)}
        ratios = []
        for sample in self.of(case, proxy):
            other = others.get(sample["round"])
            if other and sample.get(key) is not None:
                ratios.append(sample[key] / other)
        return Spread.of(ratios)

    # --- tables --------------------------------------------------------------------------------------------------------

    def tables(self):
        for case in self.cases:
            taking_part = [name for name in self.proxies if self.of(case.name, name)]
            if taking_part:
                lines = self.figures(case, taking_part) + self.ratios(case, taking_part)
                yield "\n".join([f"{case.name}: {case.title}", *lines])

    def figures(self, case, proxies):
        columns = [(f"{case.unit} a {case.per}", "main", None)]
        if case.name == "idle":
            columns += [("KiB before the burst", "kib_per_pair_connected", None),
                        ("CPU ms a second", "idle_cpu_ms_per_second", 2), ("ms a scrape", "scrape_ms", 2), ("pairs", "connections", 0)]
        elif case.name == "syscalls":
            columns += [("requests", "requests_total", 0), ("of these", "calls", None)]
        elif case.mode.startswith("bulk"):
            columns += [("GB/s", "gigabytes_per_second", None), ("CPU busy", "busy", 2)]
        else:
            columns += [(f"{case.per}s/s", "rate", 0), ("p50 µs", "p50_us", 0), ("p99 µs", "p99_us", 0),
                        ("p99.9 µs", "p999_us", 0), ("CPU busy", "busy", 2)]
        rows = [["", *(title for title, _, _ in columns)]]
        for proxy in proxies:
            row = [proxy]
            for _, key, digits in columns:
                if key == "calls":
                    row.append(named_calls(self.of(case.name, proxy)[0]["calls"]))
                    continue
                spread = self.spread(case.name, proxy, key)
                if spread is None:
                    row.append("–")
                else:
                    row.append(spread.text(digits) if key == "main" else number(spread.median, digits))
            rows.append(row)
        return aligned(rows, left=(0, 3) if case.name == "syscalls" else (0,))

    def ratios(self, case, proxies):
        ours = [name for name in proxies if name == "harbor"]
        peers = [name for name in proxies if name not in ("harbor", "direct")]
        if not ours or not peers:
            return []
        keys = [("CPU" if case.unit.endswith("CPU") else case.unit, "main")]
        if "p99_us" in self.of(case.name, "harbor")[0] and not case.once:
            keys += [("p50", "p50_us"), ("p99", "p99_us"), ("rate", "rate")]
        elif case.mode.startswith("bulk"):
            keys.append(("GB/s", "gigabytes_per_second"))
        rows = [["harbor / …", *(title for title, _ in keys)]]
        for peer in peers:
            spreads = [self.ratio(case.name, key, "harbor", peer) for _, key in keys]
            rows.append([peer, *("–" if spread is None else spread.text(2) for spread in spreads)])
        return ["", *aligned(rows)]

    # --- targets -------------------------------------------------------------------------------------------------------

    def verdict(self, target):
        """What was measured, and the word for it."""
        if target.against:
            spread = self.ratio(target.case, target.key, "harbor", target.against)
        else:
            spread = self.spread(target.case, "harbor", target.key)
        if spread is None:
            return None, "not measured"
        if spread.median <= target.aim:
            return spread, "aim reached"
        return spread, "reached" if spread.median <= target.reach else "NOT reached"

    def target_table(self, rounds, quick, threads):
        """Empty if nothing that was measured has a target."""
        title = f"target (harbor, {'one thread' if threads == 1 else f'{threads} threads'})"
        rows = [[title, "measured", "to reach", "aim", ""]]
        for target in TARGETS:
            spread, word = self.verdict(target)
            if spread is not None:
                rows.append([target.text, spread.text(2), f"≤ {number(target.reach, 2)}", number(target.aim, 2), word])
        lines = aligned(rows, left=(0, 4)) if len(rows) > 1 else []
        if 1 < len(rows) <= len(TARGETS):
            lines.append(f"  ({len(TARGETS) + 1 - len(rows)} more targets were not measured)")
        if lines and (quick or rounds < ENOUGH_ROUNDS):
            lines += ["", f"An impression, not a verdict: that takes {ENOUGH_ROUNDS} rounds at full length."]
        return "\n".join(lines + self.disturbance())

    def disturbance(self):
        shares = [sample["others_share"] for sample in self.samples if "others_share" in sample]
        stolen = [sample["stolen_share"] for sample in self.samples if "stolen_share" in sample]
        if not shares:
            return []
        text = (f"Other processes took {statistics.median(shares):.0%} of these cores' time (median; at most "
                f"{max(shares):.0%}), other machines {statistics.median(stolen):.0%}.")
        if statistics.median(shares) > DISTURBED:
            text += " That is too much for a verdict."
        return ["", text]

    # --- the rest --------------------------------------------------------------------------------------------------------

    def problems(self, ours):
        """What the load generator complained about: with our own programs, or with those of others."""
        found = []
        for sample in self.samples:
            if (program_of(sample["proxy"]) in PEERS) == ours:
                continue
            kinds = {**sample.get("error_kinds", {})}
            for key in ("wrong_bytes", "missing_bytes"):
                if sample.get(key):
                    kinds[key.replace("_", " ")] = sample[key]
            if kinds:
                text = "; ".join(f"{what}: {count}" for what, count in kinds.items())
                where = f" ({sample['first_wrong']})" if "first_wrong" in sample else ""
                found.append(f"{sample['proxy']}, {sample['case']}, round {sample['round']}: {text}{where}")
        return found

    def as_json(self):
        medians, ratios = {}, {}
        for case in self.cases:
            for proxy in self.proxies:
                spreads = {key: self.spread(case.name, proxy, key) for key in
                           ("main", "rate", "gigabytes_per_second", "p50_us", "p99_us", "p999_us", "busy", "others_share")}
                spreads = {key: vars(spread) for key, spread in spreads.items() if spread}
                if spreads:
                    medians.setdefault(case.name, {})[proxy] = spreads
                for key in ("main", "p50_us", "p99_us", "rate", "gigabytes_per_second"):
                    spread = self.ratio(case.name, key, "harbor", proxy) if proxy != "harbor" else None
                    if spread:
                        ratios.setdefault(case.name, {}).setdefault(proxy, {})[key] = vars(spread)
        targets = []
        for target in TARGETS:
            spread, word = self.verdict(target)
            targets.append({**vars(target), "measured": vars(spread) if spread else None, "verdict": word})
        units = {case.name: f"{case.unit} a {case.per}" for case in bench_cases.CASES}
        return {"main_is": units, "medians": medians, "harbor_as_a_share_of": ratios, "targets": targets}


def named_calls(calls):
    """The calls that are made more than once in 200 requests, the most frequent first."""
    frequent = sorted((item for item in calls.items() if item[1] >= 0.005), key=lambda item: -item[1])
    return ", ".join(f"{name} {number(count, 2)}" for name, count in frequent)


def aligned(rows, left=(0,)):
    """Lines with the columns under one another: numbers to the right, the columns `left` to the left."""
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(max(map(len, rows)))]
    return ["  " + "  ".join(cell.ljust(width) if column in left else cell.rjust(width)
                             for column, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]


def heading(about):
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    threads = "one thread each" if about["threads"] == 1 else f"{about['threads']} threads each"
    rounds = "one round" if about["rounds"] == 1 else f"{about['rounds']} rounds: medians, with quartiles in brackets"
    return f"{about['date']}: {about['command']}\n{about['machine']}\n{versions}\n{about['cores']}; {threads}; {rounds}"
