// swift-tools-version: 6.2
import PackageDescription

// A package that links the library as a user's would; Tests/AttentionCoreTests/OutsiderTests.swift builds and runs it.
let package = Package(
  name: "Outsider",
  platforms: [.macOS(.v15)],
  dependencies: [.package(name: "swift-attention", path: "../..")],
  targets: [
    .executableTarget(
      name: "Outsider", dependencies: [.product(name: "Attention", package: "swift-attention")]),
    .executableTarget(
      name: "Training", dependencies: [.product(name: "Attention", package: "swift-attention")]),
    .executableTarget(
      name: "Embedding",
      dependencies: [
        .product(name: "Attention", package: "swift-attention"),
        .product(name: "AttentionModels", package: "swift-attention"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)
