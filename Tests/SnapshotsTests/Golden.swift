import Domain
import Snapshots

/// One value of each kind, and its text in format 1: workers and control planes of different builds meet in it.
enum Golden {
    static let key = KeySnapshot(
        id: KeyID(5),
        hash: "0f1e",
        revision: 1_099_511_627_818,
        user: UserID(3),
        userRevision: 1_099_511_627_780,
        group: GroupID(2),
        isActive: true,
        isUserActive: false,
        expiresAt: Timestamp(microseconds: 1_793_867_400_000_000),
        ipWhitelist: ["10.0.0.0/8"],
        ipBlacklist: ["::1"],
        concurrency: 4,
        userConcurrency: 8,
        rpm: 60,
        tpm: 100_000,
        userRPM: 120,
        quota: NanoUSD(25_000_000_000)
    )

    static let credentials = CredentialEntry(account: AccountID(12), version: 1_099_511_627_779, sealed: "v1.k1.AAAA")

    static let config: ConfigSnapshot = {
        var settings = GatewaySettings()
        _ = settings.set("max_switches", 3)
        return ConfigSnapshot(
            version: SnapshotVersion(epoch: 1, revision: 57),
            publishedAt: Timestamp(microseconds: 1_793_867_400_123_456),
            groups: [
                GroupSnapshot(
                    id: GroupID(2),
                    revision: 1_099_511_627_790,
                    name: "Größe \"中\"",
                    platform: .anthropic,
                    multiplier: Multiplier(12_500),
                    isClaudeCodeOnly: true,
                    fallbackGroup: GroupID(4),
                    modelAllowlist: ["claude-*"]
                )
            ],
            accounts: [
                AccountSnapshot(
                    id: AccountID(12),
                    name: "main",
                    platform: .anthropic,
                    type: .apikey,
                    groups: [GroupID(2)],
                    expiresAt: nil,
                    priority: 10,
                    concurrency: 20,
                    rpm: 50,
                    multiplier: .one,
                    modelMapping: ["claude-x": "claude-y", "a*": "b"],
                    headerOverrides: ["x-a": "1"],
                    plainCredentials: ["base_url": "http://127.0.0.1:9"],
                    upstreamProtocol: .h2,
                    proxy: ProxySnapshot(id: ProxyID(1), scheme: "socks5", host: "proxy.test", port: 1080)
                )
            ],
            prices: [
                ModelPrice(
                    model: "claude-",
                    match: .prefix,
                    revision: 9,
                    input: PricePerMillion(3_000_000_000),
                    output: PricePerMillion(15_000_000_000),
                    cacheWrite5m: PricePerMillion(3_750_000_000),
                    cacheWrite1h: PricePerMillion(6_000_000_000),
                    cacheRead: PricePerMillion(300_000_000),
                    webSearch: NanoUSD(10_000_000)
                )
            ],
            settings: settings
        )
    }()

    static let record: UsageRecord = {
        var record = UsageRecord(
            requestID: "req_1",
            createdAt: Timestamp(microseconds: 1_793_867_400_000_000),
            user: UserID(3),
            key: KeyID(5),
            group: GroupID(2),
            account: AccountID(12),
            model: "claude-x",
            upstreamModel: "claude-y",
            dialect: .anthropic,
            isStream: true,
            status: 200
        )
        record.usage = TokenUsage(
            input: 1200,
            output: 34,
            cacheWrite5m: 5,
            cacheWrite1h: 6,
            cacheRead: 7,
            webSearches: 1
        )
        record.cost = NanoUSD(4_500_000)
        record.accountCost = NanoUSD(3_000_000)
        record.multiplier = Multiplier(15_000)
        record.priceVersion = 9
        record.durationMilliseconds = 1530
        record.firstTokenMilliseconds = 210
        record.ip = "10.1.2.3"
        record.userAgent = "curl/8"
        return record
    }()

    static let configPayload = String(configText.dropFirst(65))
    static let keyText = ##"""
        2b75a2c0a05772553ab08aef55702b999463a06b21fec68a83f42d7fdf08a15b {"format":1,"revision":109951162781\##
        8,"user_revision":1099511627780,"id":5,"user_id":3,"group_id":2,"active":true,"user_active":false,"e\##
        xpires_at":1793867400000000,"ip_whitelist":["10.0.0.0/8"],"ip_blacklist":["::1"],"concurrency":4,"us\##
        er_concurrency":8,"rpm":60,"tpm":100000,"user_rpm":120,"quota":25000000000}\##

        """##
    static let credentialsText = ##"""
        cc158ca5baa28478a8ce45751df85519dcf8069bea9354360c2aa54e0cea79e3 {"format":1,"version":1099511627779\##
        ,"account":12,"sealed":"v1.k1.AAAA"}\##

        """##
    static let configText = ##"""
        9ef2124c7cd015b3c3bbccd725b9c9a9473410beeb2b81d45a2e16f61784a04a {"format":1,"epoch":1,"revision":57\##
        ,"published_at":1793867400123456,"groups":[{"id":2,"revision":1099511627790,"name":"Größe \"中\"","pl\##
        atform":"anthropic","active":true,"multiplier":12500,"claude_code_only":true,"fallback_group_id":4,"\##
        subscription":false,"model_allowlist":["claude-*"]}],"accounts":[{"id":12,"name":"main","platform":"\##
        anthropic","type":"apikey","group_ids":[2],"active":true,"schedulable":true,"expires_at":null,"prior\##
        ity":10,"concurrency":20,"rpm":50,"multiplier":10000,"model_mapping":{"a*":"b","claude-x":"claude-y"\##
        },"header_overrides":{"x-a":"1"},"credentials":{"base_url":"http://127.0.0.1:9"},"upstream_protocol"\##
        :"h2","proxy":{"id":1,"scheme":"socks5","host":"proxy.test","port":1080,"username":null,"sealed_pass\##
        word":null}}],"prices":[{"model":"claude-","match":"prefix","revision":9,"input":3000000000,"output"\##
        :15000000000,"cache_write_5m":3750000000,"cache_write_1h":6000000000,"cache_read":300000000,"web_sea\##
        rch":10000000}],"settings":{"body_limit_bytes":33554432,"connect_timeout_seconds":10,"first_byte_tim\##
        eout_seconds":300,"idle_timeout_seconds":120,"total_timeout_seconds":3600,"failover_deadline_seconds\##
        ":300,"max_switches":3,"drain_after_disconnect_seconds":60,"shutdown_drain_seconds":120,"sticky_wait\##
        _milliseconds":3000,"queue_wait_seconds":30,"account_isolation":0,"allow_unpriced_models":0}}\##

        """##
    static let recordText = ##"""
        {"id":"req_1","phase":"final","created_at":1793867400000000,"user_id":3,"key_id":5,"group_id":2,"acc\##
        ount_id":12,"model":"claude-x","upstream_model":"claude-y","dialect":"anthropic","stream":true,"inpu\##
        t":1200,"output":34,"cache_write_5m":5,"cache_write_1h":6,"cache_read":7,"web_searches":1,"cost":450\##
        0000,"account_cost":3000000,"multiplier":15000,"account_multiplier":10000,"price_version":9,"duratio\##
        n_ms":1530,"first_token_ms":210,"status":200,"ip":"10.1.2.3","user_agent":"curl/8","estimated":false\##
        ,"cache_ttl_overridden":false,"end":"complete"}\##

        """##
}
