import GatewayKit
import Glibc
import Reactor
import Telemetry
import TestSupport
import Testing

/// A journal whose folder was another's until just now. A program that some other test starts has our files, and their
/// locks, for as long as it takes to begin.
private func reopen(_ path: String, _ log: Log) throws -> RecordJournal {
    for _ in 0..<2000 {
        if let journal = try? RecordJournal(folder: path, log: log) { return journal }
        usleep(5000)
    }
    return try RecordJournal(folder: path, log: log)
}

/// A folder of its own, gone with the test.
private final class Folder {
    let path: String
    init() {
        var template = Array("/tmp/tollgate-journal-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress.unsafelyUnwrapped)) }
    }
    deinit {
        for name in names { unlink(path + "/" + name) }
        rmdir(path)
    }
    var names: [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }
    var file: String { path + "/records.journal" }
    func read() -> [UInt8] {
        guard let file = fopen(file, "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        return Array(bytes[..<fread(&bytes, 1, bytes.count, file)])
    }
    func write(_ bytes: [UInt8]) {
        guard let file = fopen(file, "w") else { return }
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }
}

@Suite("Journal")
struct JournalTests {
    private let log = Log(service: "test", level: .error, descriptor: open("/dev/null", O_WRONLY))
    private static let records = ["first", "", "second " + String(repeating: "é", count: 500), "third"]
        .filter { !$0.isEmpty }.map { Array($0.utf8) }
    private static var file: [UInt8] {
        var bytes: [UInt8] = []
        for record in records { JournalFormat.append(record, to: &bytes) }
        return bytes
    }

    @Test("a journal cut at any byte has every record that is whole, and no other")
    func everyCut() {
        let bytes = Self.file
        var ends: [Int] = []
        for record in Self.records { ends.append((ends.last ?? 0) + JournalFormat.headerBytes + record.count) }
        for cut in 0...bytes.count {
            let (records, valid) = JournalFormat.read(Array(bytes[..<cut]))
            let whole = ends.count { $0 <= cut }
            #expect(records == Array(Self.records[..<whole]))
            #expect(valid == (whole == 0 ? 0 : ends[whole - 1]))
        }
    }

    @Test("a journal with any byte changed has the records before the change, and never a changed one")
    func everyFault() {
        let bytes = Self.file
        for position in bytes.indices {
            var broken = bytes
            broken[position] ^= 0x41
            let (records, valid) = JournalFormat.read(broken)
            #expect(valid <= position + (records.count < Self.records.count ? 0 : bytes.count))
            #expect(records.count < Self.records.count && records == Array(Self.records[..<records.count]))
        }
    }

    @Test("what is written is there after a restart, until all of it has been taken")
    func survives() async throws {
        let folder = Folder()
        let path = folder.path
        let log = log
        try await onLoop { loop in
            let journal = try RecordJournal(folder: path, log: log)
            #expect(journal.takeReplay().isEmpty && journal.openRecords == 0)
            for record in Self.records { #expect(journal.append(record, on: loop)) }
            await journal.flush(on: loop)
            journal.taken()
        }
        #expect(folder.read() == Self.file)
        try await onLoop { loop in
            let journal = try reopen(path, log)
            #expect(journal.takeReplay() == Self.records)
            #expect(journal.takeReplay().isEmpty && journal.openRecords == 3)
            #expect(journal.append([1], on: loop))
            journal.taken(3)
            #expect(journal.openRecords == 1 && journal.bytes > 0)
            journal.taken()
            #expect(journal.openRecords == 0 && journal.bytes == 0)
            // And it can be used again.
            #expect(journal.append([2], on: loop))
            await journal.flush(on: loop)
        }
        #expect(JournalFormat.read(folder.read()).records == [[2]])
    }

    @Test("a write cut short by a crash is cut off and kept aside; later records are read")
    func torn() async throws {
        let folder = Folder()
        folder.write(Array(Self.file.dropLast(3)))
        let (path, log) = (folder.path, log)
        try await onLoop { loop in
            let journal = try RecordJournal(folder: path, log: log)
            #expect(journal.takeReplay() == Array(Self.records.dropLast()))
            #expect(journal.append([7], on: loop))
            await journal.flush(on: loop)
        }
        #expect(JournalFormat.read(folder.read()).records == Self.records.dropLast() + [[7]])
        #expect(folder.names.contains { $0.hasPrefix("records.journal.damaged-") })
    }

    @Test("two never share a folder; it is free again when the first has ended")
    func lock() throws {
        let folder = Folder()
        do {
            let first = try RecordJournal(folder: folder.path, log: log)
            let error = #expect(throws: JournalError.self) { try RecordJournal(folder: folder.path, log: log) }
            #expect(error?.code == EWOULDBLOCK)
            withExtendedLifetime(first) {}
        }
        _ = try reopen(folder.path, log)
    }

    @Test("a folder that is missing is made, one that cannot be made is an error")
    func folders() throws {
        let folder = Folder()
        let deep = folder.path + "/a/b"
        do { _ = try RecordJournal(folder: deep, log: log) }
        for name in ["/records.journal", "/lock", ""] { remove(deep + name) }
        rmdir(folder.path + "/a")
        #expect(throws: JournalError.self) { try RecordJournal(folder: "/proc/none/x", log: log) }
        folder.write([1])
        #expect(throws: JournalError.self) { try RecordJournal(folder: folder.file + "/x", log: log) }
    }
}
