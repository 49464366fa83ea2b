// swift-tools-version: 6.3
// Targets by tier, top to bottom; the order is the dependency order.
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    // Builds for tests check exclusive access at run time. In release a check that fails would end every stream of the
    // process, and all of them together cost 5 % of a call.
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

func library(
    _ name: String,
    in tier: String,
    _ dependencies: [Target.Dependency] = [],
    folder: String? = nil,
    resources: [Resource] = []
) -> Target {
    .target(
        name: name,
        dependencies: dependencies,
        path: "Sources/\(tier)/\(folder ?? name)",
        resources: resources,
        swiftSettings: strict
    )
}

func program(
    _ name: String,
    in folder: String,
    _ dependencies: [Target.Dependency],
    linking libraries: [LinkerSetting] = []
) -> Target {
    .executableTarget(
        name: name,
        dependencies: dependencies,
        path: "Sources/\(folder)",
        swiftSettings: strict,
        linkerSettings: libraries
    )
}

func suite(
    _ name: String,
    _ dependencies: [Target.Dependency],
    exclude: [String] = [],
    resources: [Resource] = []
) -> Target {
    .testTarget(
        name: name,
        dependencies: dependencies,
        path: "Tests/\(name)",
        exclude: exclude,
        resources: resources,
        swiftSettings: strict
    )
}

func system(_ name: String) -> Target {
    .systemLibrary(name: name, path: "Sources/Shared/C/\(name)")
}

let package = Package(
    name: "tollgate",
    products: [
        .executable(name: "control-plane", targets: ["control-plane"]),
        .executable(name: "data-plane", targets: ["data-plane"]),
        .executable(name: "simulator", targets: ["simulator"]),
    ],
    targets: [
        // C libraries, from Debian by name.
        system("CUV"), system("CNGHTTP2"), system("CHTTPParser"), system("COpenSSL"), system("CCurl"),
        system("CHiredis"), system("CPQ"), system("CXXHash"), system("CArgon2"), system("CInflate"),
        .target(name: "CGatewayShims", path: "Sources/Shared/C/CGatewayShims"),
        .target(name: "CCurlShims", dependencies: ["CCurl"], path: "Sources/Shared/C/CCurlShims"),
        .target(
            name: "CSimdJSON",
            path: "Sources/Shared/C/CSimdJSON",
            cxxSettings: [.unsafeFlags(["-O3", "-std=c++17"])],
            linkerSettings: [.linkedLibrary("simdjson"), .linkedLibrary("stdc++")]
        ),

        // Core: values in, values out.
        library("Bytes", in: "Shared/Core"),
        library("Domain", in: "Shared/Core", ["Bytes"]),
        library("HTTPMessages", in: "Shared/Core", ["Bytes"]),
        library("Formats", in: "Shared/Core", ["Bytes", "CSimdJSON", "CGatewayShims", "CInflate"]),
        library("Crypto", in: "Shared/Core", ["COpenSSL", "CXXHash", "Formats"]),
        library(
            "Dialects",
            in: "Shared/Core",
            ["Bytes", "Domain", "Formats", "HTTPMessages", "Crypto", "CGatewayShims"]
        ),
        library(
            "Providers",
            in: "Shared/Core",
            ["Domain", "HTTPMessages", "Formats", "Crypto", "Dialects", "CGatewayShims"]
        ),
        library("Decisions", in: "Shared/Core", ["Domain"]),
        library("Snapshots", in: "Shared/Core", ["Bytes", "Domain", "Formats", "Crypto"]),

        // IO: mechanisms that know no gateway noun.
        library("Telemetry", in: "Shared/IO", ["Bytes", "Domain", "CGatewayShims"]),
        library("Reactor", in: "Shared/IO", ["Bytes", "Telemetry", "CUV", "CGatewayShims"]),
        library("TLS", in: "Shared/IO", ["Reactor", "COpenSSL"]),
        library("HTTPWire", in: "Shared/IO", ["Bytes", "HTTPMessages", "CNGHTTP2", "CHTTPParser", "CGatewayShims"]),
        library("HTTPServing", in: "Shared/IO", ["Bytes", "Reactor", "TLS", "HTTPMessages", "HTTPWire", "CNGHTTP2"]),
        library(
            "HTTPFetching",
            in: "Shared/IO",
            ["Bytes", "Reactor", "TLS", "HTTPMessages", "HTTPWire", "CNGHTTP2", "CCurl", "CCurlShims", "CUV"]
        ),
        library("Redis", in: "Shared/IO", ["Bytes", "Reactor", "TLS", "CHiredis", "COpenSSL"]),
        library("Postgres", in: "ControlPlane", ["Reactor", "CPQ", "CUV", "COpenSSL"]),
        library(
            "Service",
            in: "Shared/IO",
            ["Reactor", "Telemetry", "HTTPServing", "HTTPMessages"]
        ),

        // The planes.
        library(
            "GatewayKit",
            in: "DataPlane",
            [
                "Bytes", "Domain", "HTTPMessages", "Formats", "Crypto", "Dialects", "Providers", "Decisions",
                "Snapshots",
                "Telemetry", "Reactor", "TLS", "HTTPServing", "HTTPFetching", "Redis", "Service", "CGatewayShims",
            ],
            folder: "Kit"
        ),
        program(
            "data-plane",
            in: "DataPlane/Main",
            ["GatewayKit", "Service", "Telemetry", "Reactor"],
            // In place of the C library's allocator, which takes twice as long and holds no less. Sanitizers, which are
            // run on builds for debugging, bring their own.
            linking: [.linkedLibrary("jemalloc", .when(configuration: .release))]
        ),
        library(
            "ControlKit",
            in: "ControlPlane",
            [
                "Domain", "HTTPMessages", "Formats", "Crypto", "Dialects", "Providers", "Decisions", "Snapshots",
                "Telemetry", "Reactor", "TLS", "HTTPServing", "HTTPFetching", "Redis", "Postgres", "Service", "CArgon2",
            ],
            folder: "Kit",
            resources: [
                .embedInCode("Stores/Migrations/0001_foundation.sql"),
                .embedInCode("Stores/Migrations/0002_token_classes.sql"),
                .embedInCode("Stores/Migrations/0003_account_flags.sql"),
                .embedInCode("Stores/Migrations/0004_sign_in.sql"),
                .embedInCode("Stores/Migrations/0005_account_usage.sql"),
                .embedInCode("Stores/Migrations/0006_money.sql"),
                .embedInCode("Stores/Migrations/0007_quotas_and_prices.sql"),
                .embedInCode("Stores/Migrations/0008_settling.sql"),
                .embedInCode("Stores/Seed/prices.json"),
            ]
        ),
        program("control-plane", in: "ControlPlane/Main", ["ControlKit", "Service", "Telemetry", "Reactor"]),
        library(
            "SimulatorKit",
            in: "Simulator",
            ["Reactor", "TLS", "Telemetry", "HTTPServing", "HTTPMessages", "Formats", "Crypto", "Service"],
            folder: "Kit"
        ),
        program("simulator", in: "Simulator/Main", ["SimulatorKit", "Service", "Telemetry", "Reactor"]),

        // Tests, by what they need.
        .target(
            name: "TestSupport",
            dependencies: ["Postgres", "Reactor", "Redis", "TLS"],
            path: "Tests/TestSupport",
            swiftSettings: strict
        ),
        suite("RedisTests", ["Redis", "Reactor", "TLS", "TestSupport"]),
        suite("BytesTests", ["Bytes"]),
        suite("FormatsTests", ["Bytes", "Formats", "CInflate", "TestSupport"]),
        suite("CryptoTests", ["Crypto", "Formats", "TestSupport"]),
        suite("PostgresTests", ["Postgres", "Reactor", "TestSupport"]),
        suite("DomainTests", ["Domain"]),
        suite("DecisionsTests", ["Decisions", "Domain"]),
        suite("TranslationTests", ["Dialects", "Domain", "Formats", "TestSupport"], exclude: ["Fixtures"]),
        suite("DialectsTests", ["Dialects", "Crypto", "Domain", "Formats", "TestSupport"]),
        suite(
            "ProvidersTests",
            ["Providers", "Crypto", "Dialects", "Domain", "Formats", "HTTPMessages", "TestSupport"],
            exclude: ["Fixtures"]
        ),
        suite("ReactorTests", ["Reactor", "Telemetry", "TestSupport"]),
        suite("HTTPWireTests", ["HTTPWire", "HTTPMessages", "CNGHTTP2", "TestSupport"]),
        suite(
            "HTTPServingTests",
            ["HTTPServing", "HTTPWire", "HTTPMessages", "Reactor", "TLS", "CNGHTTP2", "TestSupport"]
        ),
        suite("TLSTests", ["TLS", "Reactor", "TestSupport"]),
        suite(
            "SimulatorTests",
            [
                "SimulatorKit", "Crypto", "Domain", "Formats", "HTTPMessages", "HTTPFetching", "Providers", "Reactor",
                "TLS",
                "Telemetry", "TestSupport", "CInflate",
            ]
        ),
        suite("SchedulingTests", ["GatewayKit", "Decisions", "Dialects", "Domain", "Reactor", "Redis", "Snapshots"]),
        suite(
            "GatewayTests",
            [
                "GatewayKit", "Domain", "HTTPMessages", "HTTPFetching", "Snapshots", "Providers", "Reactor", "Service",
                "Crypto", "Formats", "Telemetry", "TestSupport",
            ]
        ),
        suite(
            "DataPlaneTests",
            [
                "GatewayKit", "SimulatorKit", "Dialects", "Domain", "HTTPMessages", "HTTPServing", "HTTPFetching",
                "Snapshots", "Providers", "Crypto", "Formats", "Redis", "Reactor", "Telemetry", "Decisions", "TLS",
                "CInflate", "Service", "TestSupport",
            ]
        ),
        suite("SnapshotsTests", ["Domain", "Formats", "Snapshots"]),
        suite(
            "PublishingTests",
            [
                "ControlKit", "Crypto", "Domain", "Formats", "HTTPFetching", "HTTPMessages", "HTTPServing", "Postgres",
                "Providers", "Reactor", "Redis", "SimulatorKit", "Snapshots", "Telemetry", "TestSupport",
            ]
        ),
        suite(
            "ControlPlaneTests",
            [
                "ControlKit", "Crypto", "Domain", "Formats", "HTTPMessages", "Postgres", "Providers", "Reactor",
                "Service", "Telemetry",
            ]
        ),
        suite(
            "AdminAPITests",
            [
                "ControlKit", "Crypto", "Domain", "Formats", "HTTPFetching", "HTTPMessages", "HTTPServing", "Postgres",
                "Reactor", "Redis", "Service", "SimulatorKit", "Snapshots", "Telemetry", "TestSupport",
            ]
        ),
        suite(
            "HTTPFetchingTests",
            ["HTTPFetching", "HTTPMessages", "Reactor", "TLS", "TestSupport", "CNGHTTP2"]
        ),
    ],
    cxxLanguageStandard: .cxx17
)

// Figures of optimised code: these suites are built alone, in release.
if Context.environment["TOLLGATE_BENCHMARKS"] != nil {
    let measured = ["TranslationTests", "SchedulingTests", "PublishingTests"]
    package.targets.removeAll { $0.type == .test && !measured.contains($0.name) }
    // The others of these suites look into their modules, which optimised code does not allow.
    for target in package.targets where target.name == "PublishingTests" {
        target.sources = ["World.swift", "SettlementWorld.swift", "SettlementCostTests.swift"]
    }
}

// Only dev/fuzz builds this: it takes a build of its own, with libFuzzer.
if Context.environment["TOLLGATE_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "fuzz",
            dependencies: [
                "Formats", "HTTPMessages", "HTTPWire", "HTTPServing", "HTTPFetching", "Reactor", "TestSupport",
                "Dialects", "Domain", "Providers",
            ],
            path: "Tests/Fuzz",
            exclude: ["Corpus"],
            // libFuzzer has the main function.
            swiftSettings: strict + [.unsafeFlags(["-parse-as-library"])]
        )
    )
}
