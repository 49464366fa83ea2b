import Synchronization

/// A number that only grows. Any thread may add to it.
package final class Counter: Sendable {
    private let cell = Atomic<Int>(0)
    package init() {}
    package func add(_ count: Int = 1) { cell.add(count, ordering: .relaxed) }
    package var value: Int { cell.load(ordering: .relaxed) }
}

/// A number that goes up and down.
package final class Gauge: Sendable {
    private let cell = Atomic<Int>(0)
    package init() {}
    package func set(_ value: Int) { cell.store(value, ordering: .relaxed) }
    package func add(_ count: Int) { cell.add(count, ordering: .relaxed) }
    package var value: Int { cell.load(ordering: .relaxed) }
}

/// A distribution of durations in fixed buckets.
package final class Histogram: Sendable {
    /// Upper bounds in microseconds: 100 µs to 10 min, about 3 a decade.
    package static let latencyBounds: [Int] = [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
        5_000_000, 10_000_000, 30_000_000, 60_000_000, 120_000_000, 300_000_000, 600_000_000,
    ]

    let bounds: [Int]
    private let buckets: [Counter]
    private let sum = Counter()

    package init(bounds: [Int] = Histogram.latencyBounds) {
        self.bounds = bounds
        buckets = (0...bounds.count).map { _ in Counter() }
    }

    package func record(microseconds: Int) {
        var low = 0
        var high = bounds.count
        while low < high {
            let middle = (low + high) / 2
            if bounds[middle] < microseconds { low = middle + 1 } else { high = middle }
        }
        buckets[low].add()
        sum.add(max(0, microseconds))
    }

    var counts: [Int] { buckets.map(\.value) }
    var total: Int { sum.value }
}

/// The process's metrics, and their text for Prometheus (exposition format 0.0.4).
package final class MetricsRegistry: Sendable {
    private enum Cell {
        case counter(Counter)
        case gauge(Gauge)
        case computed(@Sendable () -> Double)
        case histogram(Histogram)

        var type: String {
            switch self {
            case .counter: "counter"
            case .gauge, .computed: "gauge"
            case .histogram: "histogram"
            }
        }
    }
    private struct Family {
        let help: String
        var cells: [(labels: String, cell: Cell)] = []
    }
    private struct State {
        var order: [String] = []
        var families: [String: Family] = [:]
    }
    private let state = Mutex(State())

    package init() {}

    /// The counter with this name and these labels; made on first use. Keep it: looking it up takes a lock.
    package func counter(_ name: String, _ help: String, _ labels: KeyValuePairs<String, String> = [:]) -> Counter {
        guard case .counter(let cell) = cell(name, help, labels, { .counter(Counter()) }) else { return Counter() }
        return cell
    }

    package func gauge(_ name: String, _ help: String, _ labels: KeyValuePairs<String, String> = [:]) -> Gauge {
        guard case .gauge(let cell) = cell(name, help, labels, { .gauge(Gauge()) }) else { return Gauge() }
        return cell
    }

    package func histogram(_ name: String, _ help: String, _ labels: KeyValuePairs<String, String> = [:]) -> Histogram {
        guard case .histogram(let cell) = cell(name, help, labels, { .histogram(Histogram()) }) else {
            return Histogram()
        }
        return cell
    }

    /// A gauge that is computed when metrics are read.
    package func computed(
        _ name: String,
        _ help: String,
        _ labels: KeyValuePairs<String, String> = [:],
        _ value: @escaping @Sendable () -> Double
    ) {
        _ = cell(name, help, labels) { .computed(value) }
    }

    private func cell(
        _ name: String,
        _ help: String,
        _ labels: KeyValuePairs<String, String>,
        _ make: () -> Cell
    ) -> Cell {
        let key = labels.map { "\($0.key)=\"\(Self.escape($0.value))\"" }.joined(separator: ",")
        return state.withLock { state in
            if state.families[name] == nil {
                state.order.append(name)
                state.families[name] = Family(help: help)
            }
            if let known = state.families[name]?.cells.first(where: { $0.labels == key }) { return known.cell }
            let made = make()
            state.families[name]?.cells.append((key, made))
            return made
        }
    }

    private static func escape(_ value: String) -> String {
        var out = ""
        for character in value {
            switch character {
            case "\\": out += "\\\\"
            case "\"": out += "\\\""
            case "\n": out += "\\n"
            default: out.append(character)
            }
        }
        return out
    }

    /// All metrics in Prometheus' text format.
    package func render() -> String {
        let families = state.withLock { state in
            state.order.compactMap { name in state.families[name].map { (name, $0) } }
        }
        var out = ""
        for (name, family) in families {
            out += "# HELP \(name) \(family.help)\n# TYPE \(name) \(family.cells.first?.cell.type ?? "untyped")\n"
            for (labels, cell) in family.cells { Self.render(name, labels, cell, into: &out) }
        }
        return out
    }

    private static func render(_ name: String, _ labels: String, _ cell: Cell, into out: inout String) {
        let braces = labels.isEmpty ? "" : "{\(labels)}"
        switch cell {
        case .counter(let counter): out += "\(name)\(braces) \(counter.value)\n"
        case .gauge(let gauge): out += "\(name)\(braces) \(gauge.value)\n"
        case .computed(let value): out += "\(name)\(braces) \(value())\n"
        case .histogram(let histogram):
            let prefix = labels.isEmpty ? "" : labels + ","
            var running = 0
            for (bound, count) in zip(histogram.bounds, histogram.counts) {
                running += count
                out += "\(name)_bucket{\(prefix)le=\"\(Double(bound) / 1_000_000)\"} \(running)\n"
            }
            running += histogram.counts.last ?? 0
            out += "\(name)_bucket{\(prefix)le=\"+Inf\"} \(running)\n"
            out += "\(name)_sum\(braces) \(Double(histogram.total) / 1_000_000)\n\(name)_count\(braces) \(running)\n"
        }
    }
}
