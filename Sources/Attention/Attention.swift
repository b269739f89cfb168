/// One import computes: tensors, the engine's state, and attention.
@_exported import AttentionCore
@_exported import AttentionTensors
