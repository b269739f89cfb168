// swift-tools-version: 6.2
import PackageDescription

/// Warnings are errors in this package; SwiftPM does not apply this to packages that depend on it.
let swiftSettings: [SwiftSetting] = [.treatAllWarnings(as: .error)]
let cSettings: [CSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
  name: "swift-attention",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Attention", targets: ["Attention"]),
    .library(name: "AttentionDecompositions", targets: ["AttentionDecompositions"]),
    .library(name: "AttentionModels", targets: ["AttentionModels"]),
    .library(name: "AttentionTraining", targets: ["AttentionTraining"]),
    .executable(name: "attention", targets: ["AttentionCommand"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
  ],
  targets: [
    // System libraries
    .systemLibrary(
      name: "COpenBLAS",
      path: "Modules/COpenBLAS",
      pkgConfig: "openblas",
      providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]
    ),
    .systemLibrary(
      name: "CLAPACKE",
      path: "Modules/CLAPACKE",
      pkgConfig: "lapacke",
      providers: [.apt(["liblapacke-dev"]), .brew(["lapack"])]
    ),

    // The library, from the inside out
    .target(name: "CAttentionKernels", cSettings: cSettings),
    .target(name: "CAttentionSystem", cSettings: cSettings),
    .target(
      name: "AttentionTensors", dependencies: ["COpenBLAS", "CAttentionKernels", "CAttentionSystem"],
      swiftSettings: swiftSettings),
    .target(
      name: "AttentionCore", dependencies: ["AttentionTensors", "CAttentionKernels"], swiftSettings: swiftSettings),
    .target(
      name: "AttentionDecompositions", dependencies: ["AttentionTensors", "CLAPACKE"], swiftSettings: swiftSettings),
    .target(
      name: "AttentionLayers",
      dependencies: ["AttentionTensors", "AttentionCore", "CAttentionKernels"],
      swiftSettings: swiftSettings),
    .target(
      name: "Attention", dependencies: ["AttentionTensors", "AttentionCore", "AttentionLayers"],
      swiftSettings: swiftSettings),
    .target(
      name: "AttentionModels",
      dependencies: ["Attention", .product(name: "HeapModule", package: "swift-collections")],
      swiftSettings: swiftSettings),
    .target(
      name: "AttentionTraining", dependencies: ["Attention", "AttentionModels", "CAttentionKernels"],
      swiftSettings: swiftSettings),

    // The command
    .target(
      name: "AttentionBenchmarks",
      dependencies: ["Attention", "AttentionModels", "AttentionTraining", "CAttentionKernels"],
      resources: [.copy("Resources/minilm-layer3.safetensors")], swiftSettings: swiftSettings),
    .executableTarget(
      name: "AttentionCommand",
      dependencies: [
        "Attention", "AttentionBenchmarks", "AttentionModels", "AttentionTraining",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: swiftSettings
    ),

    // Tests
    .target(
      name: "AttentionTestSupport", dependencies: ["Attention"], path: "Tests/AttentionTestSupport",
      swiftSettings: swiftSettings),
    .testTarget(
      name: "CAttentionKernelsTests", dependencies: ["CAttentionKernels", "AttentionTestSupport"],
      swiftSettings: swiftSettings),
    .testTarget(
      name: "AttentionTensorsTests",
      dependencies: ["AttentionTensors", "AttentionTestSupport", "COpenBLAS", "CLAPACKE"],
      exclude: ["Fixtures"],
      swiftSettings: swiftSettings),
    .testTarget(
      name: "AttentionCoreTests",
      dependencies: ["Attention", "AttentionBenchmarks", "AttentionTestSupport"],
      exclude: ["Fixtures"],
      swiftSettings: swiftSettings),
    .testTarget(
      name: "AttentionDecompositionsTests", dependencies: ["AttentionDecompositions", "AttentionTestSupport"],
      swiftSettings: swiftSettings),
    .testTarget(
      name: "AttentionLayersTests", dependencies: ["Attention", "AttentionDecompositions", "AttentionTestSupport"],
      exclude: ["Fixtures"], swiftSettings: swiftSettings),
    .testTarget(
      name: "AttentionModelsTests", dependencies: ["AttentionModels", "AttentionTestSupport"],
      exclude: ["Fixtures"], swiftSettings: swiftSettings),
    .testTarget(
      name: "AttentionTrainingTests", dependencies: ["AttentionTraining", "AttentionTestSupport"],
      exclude: ["Fixtures"], swiftSettings: swiftSettings),
    .executableTarget(
      name: "AttentionFuzzer", dependencies: ["Attention", "AttentionModels"], path: "Tests/AttentionFuzzer",
      swiftSettings: swiftSettings),
    .testTarget(
      name: "AttentionBenchmarksTests", dependencies: ["AttentionBenchmarks", "AttentionTestSupport"],
      swiftSettings: swiftSettings),
    .testTarget(
      name: "AttentionCommandTests",
      dependencies: ["AttentionCommand", "AttentionBenchmarks", "AttentionModels", "AttentionTestSupport"],
      swiftSettings: swiftSettings),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17
)
