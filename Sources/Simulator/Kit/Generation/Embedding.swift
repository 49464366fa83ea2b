/// Made-up vectors: always the same for the same input.
enum Embedding {
    static func vector(of input: some Collection<UInt8>, _ dimensions: Int) -> [Float] {
        var state = Digest(input).final
        return (0..<dimensions).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(Int16(truncatingIfNeeded: state >> 48)) / 32_768
        }
    }
}
